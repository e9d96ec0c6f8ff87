// SPDX-License-Identifier: GPL-2.0
/*
 * Many connections at once, for tests/t/network, in host and guest.
 *
 *	lgnet serve PORT		echo what connections send; and datagrams
 *	lgnet many ADDRESS PORT N	N connections at once; each sends a line of
 *					its own, when all are there, and gets it back
 *	lgnet udp ADDRESS PORT N	N datagrams and their echoes
 *	lgnet flood ADDRESS PORT	datagrams until killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST	4096

static struct sockaddr_in at;

static void need(int fine, const char *what)
{
	if (fine)
		return;
	printf("lgnet: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void serve(void)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	int udp = socket(AF_INET, SOCK_DGRAM, 0), all = epoll_create1(0);
	char text[65536];
	struct epoll_event e = { .events = EPOLLIN };

	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	need(!bind(tcp, (void *)&at, sizeof(at)), "bind");
	need(!bind(udp, (void *)&at, sizeof(at)), "bind");
	need(!listen(tcp, 2048), "listen");
	e.data.fd = tcp;
	epoll_ctl(all, EPOLL_CTL_ADD, tcp, &e);
	e.data.fd = udp;
	epoll_ctl(all, EPOLL_CTL_ADD, udp, &e);
	while (epoll_wait(all, &e, 1, -1) > 0) {
		struct sockaddr_in from;
		socklen_t l = sizeof(from);
		int fd = e.data.fd;
		ssize_t size;

		if (fd == tcp) {
			e.events = EPOLLIN;
			e.data.fd = accept(tcp, NULL, NULL);
			need(e.data.fd >= 0, "accept");
			epoll_ctl(all, EPOLL_CTL_ADD, e.data.fd, &e);
		} else if (fd == udp) {
			size = recvfrom(udp, text, sizeof(text), 0, (void *)&from, &l);
			sendto(udp, text, size, 0, (void *)&from, l);
		} else if ((size = read(fd, text, sizeof(text))) <= 0) {
			close(fd);
		} else {
			need(write(fd, text, size) == size, "echo");
		}
	}
}

static void many(int n)
{
	static int s[MOST];
	char text[64], back[64];

	for (int i = 0; i < n; i++) {
		s[i] = socket(AF_INET, SOCK_STREAM, 0);
		need(s[i] >= 0, "socket");
		need(!connect(s[i], (void *)&at, sizeof(at)), "connect");
	}
	for (int i = 0; i < n; i++) {
		sprintf(text, "this is connection %040d\n", i);
		need(write(s[i], text, 60) == 60, "write");
	}
	for (int i = n - 1; i >= 0; i--) {
		sprintf(text, "this is connection %040d\n", i);
		need(recv(s[i], back, 60, MSG_WAITALL) == 60, "read");
		need(!memcmp(text, back, 60), "another's line");
	}
	printf("%d connections at once\n", n);
}

static void udp(int n, int flood)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0), got = 0;
	static char text[1400], back[1400];
	struct timeval second = { .tv_sec = 1 };

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	need(!connect(s, (void *)&at, sizeof(at)), "connect");
	for (int i = 0; i < n || flood; i++) {
		memcpy(text, &i, sizeof(i));
		if (send(s, text, sizeof(text), flood ? MSG_DONTWAIT : 0) < 0 &&
		    flood)
			usleep(1000);
		if (flood)
			usleep(300);
		else
			got += recv(s, back, sizeof(back), 0) == sizeof(back) &&
				!memcmp(text, back, sizeof(back));
	}
	printf("%d of %d datagrams came back\n", got, n);
	exit(got < n * 9 / 10);
}

int main(int argc, char **argv)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	at.sin_family = AF_INET;
	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "serve")) {
		at.sin_port = htons(atoi(argv[2]));
		serve();
	}
	at.sin_addr.s_addr = inet_addr(argv[2]);
	at.sin_port = htons(atoi(argv[3]));
	if (!strcmp(argv[1], "many"))
		many(atoi(argv[4]));
	else
		udp(argc > 4 ? atoi(argv[4]) : 0, !strcmp(argv[1], "flood"));
	return 0;
}
