// SPDX-License-Identifier: GPL-2.0
// Search over names, and a look at a chunk without leaving the page.
(function () {
	const box = document.getElementById('search');
	const list = document.getElementById('found');

	box.addEventListener('input', function () {
		const want = box.value.trim().toLowerCase();
		list.replaceChildren();
		if (want.length < 2)
			return;
		const hits = FOUND.filter(f => f[0].toLowerCase().includes(want));
		hits.sort((a, b) => !a[0].toLowerCase().startsWith(want) -
			!b[0].toLowerCase().startsWith(want) || a[0].length - b[0].length);
		for (const [name, where] of hits.slice(0, 12)) {
			const item = document.createElement('li');
			const link = document.createElement('a');
			link.href = where;
			link.textContent = name;
			item.append(link);
			list.append(item);
		}
	});
	box.addEventListener('keydown', function (e) {
		if (e.key === 'Enter' && list.firstChild)
			location.href = list.firstChild.firstChild.href;
	});
	document.addEventListener('click', function (e) {
		if (e.target !== box)
			list.replaceChildren();
	});

	let popup = null;
	let timer = 0;
	function hide() {
		clearTimeout(timer);
		if (popup)
			popup.remove();
		popup = null;
	}
	document.addEventListener('mouseover', function (e) {
		const link = e.target.closest('a.use, a.id');
		if (popup && popup.contains(e.target)) {
			clearTimeout(timer);
			return;
		}
		clearTimeout(timer);
		if (!link || !CHUNKS[link.hash.slice(1)]) {
			timer = setTimeout(hide, 250);
			return;
		}
		timer = setTimeout(function () {
			const at = link.getBoundingClientRect();
			hide();
			popup = document.createElement('div');
			popup.id = 'popup';
			popup.innerHTML = CHUNKS[link.hash.slice(1)].replace(/ id="c\d+"/, '');
			popup.style.left = Math.max(8, Math.min(at.left, innerWidth - 480)) +
				scrollX + 'px';
			popup.style.top = at.bottom + scrollY + 4 + 'px';
			document.body.append(popup);
		}, 350);
	});
	document.addEventListener('keydown', function (e) {
		if (e.key === 'Escape')
			hide();
	});
})();
