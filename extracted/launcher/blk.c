// SPDX-License-Identifier: GPL-2.0
/* headers of the disk */
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <sys/file.h>
#include <liburing.h>

#include "launcher.h"

/* a disk and its requests */
#define REQUESTS	128	/* begun in one go, of one disk */
#define SECTOR		512

struct request {
	struct request *next;	/* while it is free */
	struct chain c;
	struct iovec *iov;	/* what is left of the data, inside of c */
	int nr;
	uint32_t type;
	/* more fields of a request */
	int mode;		/* for fallocate */
	uint64_t at, left;	/* on the disk, in bytes */
	uint32_t read;		/* bytes that a read brings */
	uint8_t *status;	/* the guest's byte for it */
};

struct disk {
	struct device *d;
	int fd;
	bool ro;
	uint64_t sectors;
	uint32_t block;		/* bytes that the host's disk likes */
	char id[VIRTIO_BLK_ID_BYTES];
	struct request first, *free;
	/* further state of a disk */
	int busy;		/* requests in flight */
	pthread_cond_t idle;	/* there are none any more */
	struct io_uring ring;
	bool ringed;		/* it has one, which rings the queue's bell */
	bool discard;
};

/* do a request */
static long perform(struct disk *k, struct request *r)
{
	int sync = accepted(k->d, VIRTIO_BLK_F_FLUSH) ? 0 : RWF_DSYNC;
	long n = 0;

	/* let the other devices go on */
	pthread_mutex_unlock(&devices_lock);
	if (r->type == VIRTIO_BLK_T_IN)
		n = preadv(k->fd, r->iov, r->nr, r->at);
	else if (r->type == VIRTIO_BLK_T_OUT)
		n = pwritev2(k->fd, r->iov, r->nr, r->at, sync);
	else if (r->type == VIRTIO_BLK_T_FLUSH)
		n = fdatasync(k->fd);
	/* perform further kinds of requests */
	else
		n = fallocate(k->fd, r->mode, r->at, r->left);
	/* take part in the devices again */
	pthread_mutex_lock(&devices_lock);
	return n < 0 ? -errno : n;
}

/* ways to wait */
static void prepare(struct disk *k, struct request *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&k->ring);

	/* say what the kernel shall do */
	if (r->type == VIRTIO_BLK_T_IN)
		io_uring_prep_readv(sqe, k->fd, r->iov, r->nr, r->at);
	else if (r->type == VIRTIO_BLK_T_OUT)
		io_uring_prep_writev2(sqe, k->fd, r->iov, r->nr, r->at,
			accepted(k->d, VIRTIO_BLK_F_FLUSH) ? 0 : RWF_DSYNC);
	else if (r->type == VIRTIO_BLK_T_FLUSH)
		io_uring_prep_fsync(sqe, k->fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(sqe, k->fd, r->mode, r->at, r->left);
	io_uring_sqe_set_data(sqe, r);
}

/* hand a request to the kernel */
static void ended(struct disk *k, struct request *r, long n);

static void hand_over(struct disk *k, struct request *r)
{
	/* hand it to somebody who waits */
	struct vq *q = &k->d->vq[0];

	/* A lone write is done at once: it is but a copy into the page cache. */
	if (k->ringed && (r->type != VIRTIO_BLK_T_OUT || k->busy > 1 ||
			  q->a->idx != q->last_avail)) {
		prepare(k, r);
		return;
	}
	ended(k, r, perform(k, r));
}

/* end a request */
static void end(struct disk *k, struct request *r, uint8_t status)
{
	*(volatile uint8_t *)r->status = status;
	vq_push(&k->d->vq[0], r->c.head, 1 + (status ? 0 : r->read));
	r->next = k->free;
	k->free = r;
	/* count a request that ends */
	if (!--k->busy)
		pthread_cond_broadcast(&k->idle);
}

static void ended(struct disk *k, struct request *r, long n)
{
	bool moves = r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT;

	if (moves && n > 0 && n < r->left) {
		iov_read(&r->iov, &r->nr, NULL, n);
		r->at += n;
		r->left -= n;
		hand_over(k, r);
		return;
	}
	end(k, r, n == (moves ? r->left : 0) ? VIRTIO_BLK_S_OK :
		  /* say that the host cannot */
		  n == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP :
		  VIRTIO_BLK_S_IOERR);
}

static void reap(struct disk *k)
{
	struct io_uring_cqe *cqe;

	while (k->ringed && !io_uring_peek_cqe(&k->ring, &cqe)) {
		struct request *r = io_uring_cqe_get_data(cqe);
		long result = cqe->res;

		io_uring_cqe_seen(&k->ring, cqe);
		ended(k, r, result);
	}
}

/* understand a request */
static int locate(struct disk *k, struct request *r, uint64_t sector,
		  uint64_t bytes)
{
	if (bytes % SECTOR || sector > k->sectors ||
	    bytes / SECTOR > k->sectors - sector)
		return VIRTIO_BLK_S_IOERR;
	r->at = sector * SECTOR;
	r->left = bytes;
	return bytes ? -1 : VIRTIO_BLK_S_OK;
}

/* locate a range of sectors */
static int locate_range(struct disk *k, struct request *r)
{
	struct virtio_blk_discard_write_zeroes z;
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;

	if (iov_read(&r->iov, &r->nr, &z, sizeof(z)) < sizeof(z) || r->nr)
		return VIRTIO_BLK_S_IOERR;
	if (z.flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0) ||
	    (!k->discard && (!zeroes || z.flags)))
		return VIRTIO_BLK_S_UNSUPP;
	r->mode = FALLOC_FL_KEEP_SIZE | (zeroes && !z.flags ?
			FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
	return locate(k, r, z.sector, (uint64_t)z.num_sectors * SECTOR);
}

static int understand(struct disk *k, struct request *r, uint64_t sector)
{
	struct iovec *in = r->c.iov + r->c.nr_out;
	int nr_in = r->c.nr_in;

	switch (r->type) {
	/* read, flush or tell the name */
	case VIRTIO_BLK_T_IN:
		r->iov = in;
		r->nr = nr_in;
		r->read = r->c.in_len - 1;
		return locate(k, r, sector, r->c.in_len - 1);
	case VIRTIO_BLK_T_FLUSH:
		return -1;
	case VIRTIO_BLK_T_GET_ID:
		r->read = iov_write(&in, &nr_in, k->id, sizeof(k->id));
		return VIRTIO_BLK_S_OK;
	/* write, unless it is read only */
	case VIRTIO_BLK_T_OUT:
		if (k->ro)
			return VIRTIO_BLK_S_IOERR;
		return locate(k, r, sector, r->c.out_len -
			      sizeof(struct virtio_blk_outhdr));
	/* understand further kinds of requests */
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return k->ro ? VIRTIO_BLK_S_IOERR : locate_range(k, r);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

/* begin a request */
static bool begin(struct disk *k, struct request *r)
{
	struct iovec *last = &r->c.iov[r->c.nr_out + r->c.nr_in - 1];
	struct virtio_blk_outhdr h;
	int status;

	if (r->c.out_len < sizeof(h) || !r->c.nr_in || !last->iov_len) {
		device_broken(k->d, "a request lacks its header or status");
		return false;
	}
	/* take the request apart */
	r->status = (uint8_t *)last->iov_base + --last->iov_len;
	r->iov = r->c.iov;
	r->nr = r->c.nr_out;
	iov_read(&r->iov, &r->nr, &h, sizeof(h));
	r->type = h.type;
	r->read = r->left = 0;
	k->free = r->next;
	/* count a request that begins */
	k->busy++;
	status = understand(k, r, h.sector);
	if (status < 0)
		hand_over(k, r);
	else
		end(k, r, status);
	return true;
}

static void kick(struct device *d, int queue)
{
	struct disk *k = d->priv;
	struct vq *q = &d->vq[0];
	int n = 0;

	/* end what the ring has done */
	reap(k);
	while (n < REQUESTS && k->free && vq_pop(q, &k->free->c)) {
		if (!begin(k, k->free))
			break;
		n++;
	}
	/* send the ring what was begun */
	while (k->ringed && io_uring_sq_ready(&k->ring))
		io_uring_submit(&k->ring);
	vq_interrupt(q);
	if (n == REQUESTS)
		eventfd_write(q->kick, 1);
}

/* collect what has ended */
static void reset(struct device *d)
{
	struct disk *k = d->priv;

	d->status = 0;
	while (k->busy)
		pthread_cond_wait(&k->idle, &devices_lock);
}

/* open an image */
static void open_image(struct disk *k, const char *path)
{
	uint64_t size;
	struct stat st;

	/* open the file, or say why not */
	k->fd = open(path, (k->ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (k->fd < 0 && errno == ENOENT)
		die(BAD_IMAGE, "--block %s: there is no such file: `truncate -s "
		    "1G FILE` makes an empty disk", path);
	if (k->fd < 0 && errno != EISDIR)
		die(BAD_IMAGE, "--block %s: cannot open it for %s (%m): see ls "
		    "-l%s", path, k->ro ? "reading" : "writing",
		    k->ro ? "" : ", or add ,ro if it may be read only");
	if (k->fd < 0 || fstat(k->fd, &st) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		die(BAD_IMAGE, "--block %s is neither a file nor a block device: "
		    "a disk is one of them", path);
	/* lock the file */
	if (flock(k->fd, (k->ro ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		die(NO_RESOURCE, "--block %s is in use by another guest or program: "
		    "stop that (see lsof), or give both of them ,ro", path);
	/* measure the file */
	size = st.st_size;
	k->block = SECTOR;
	if (S_ISBLK(st.st_mode) && (ioctl(k->fd, BLKGETSIZE64, &size) < 0 ||
				    ioctl(k->fd, BLKSSZGET, &k->block) < 0))
		die(BAD_IMAGE, "--block %s does not tell its size: %m", path);
	if (!size || size % SECTOR)
		die(BAD_IMAGE, "--block %s has %lu bytes, but a disk has 512-byte "
		    "sectors: `truncate -s %%512 FILE` fills the last one", path,
		    size);
	k->sectors = size / SECTOR;
	storage_check(path, k->fd, size);
	path = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	memcpy(k->id, path, strnlen(path, sizeof(k->id)));
}

/* start what does the work */
static void *work(void *arg)
{
	struct disk *k = arg;
	eventfd_t count;

	while (!eventfd_read(k->d->vq[0].kick, &count) || errno == EINTR) {
		pthread_mutex_lock(&devices_lock);
		kick(k->d, 0);
		pthread_mutex_unlock(&devices_lock);
	}
	return NULL;
}

static void start(struct disk *k)
{
	struct request *r = calloc(REQUESTS - 1, sizeof(*r));
	int bell = k->d->vq[0].kick;
	pthread_t thread;

	pthread_cond_init(&k->idle, NULL);
	if (!r)
		return;
	fcntl(bell, F_SETFL, 0);
	k->ringed = !io_uring_queue_init(REQUESTS, &k->ring, 0) &&
		!io_uring_register_eventfd(&k->ring, bell);
	for (int i = 0; i < REQUESTS - 1; i++) {
		r[i].next = k->free;
		k->free = &r[i];
	}
	if (!pthread_create(&thread, NULL, work, k))
		unwatch(bell);
}

/* add a disk */
void block_add(struct guest *g, const char *spec)
{
	/* describe the kind of device */
	static const struct device_ops ops = {
		.name = "block", .type = VIRTIO_ID_BLOCK, .queues = 1,
		.config_size = sizeof(struct virtio_blk_config),
		.features = 1ULL << VIRTIO_BLK_F_SEG_MAX |
			1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_FLUSH,
		.kick = kick,
		/* further functions of a disk */
		.reset = reset,
	};
	struct disk *k = calloc(1, sizeof(*k));
	char *word, *path = strdup(spec);

	if (!k || !path)
		die(NO_RESOURCE, "no memory for a disk");
	/* begin with a disk's defaults */
	k->discard = true;
	while ((word = strrchr(path, ','))) {
		if (!strcmp(word, ",ro"))
			k->ro = true;
		/* further words of a disk */
		else if (!strcmp(word, ",discard=off"))
			k->discard = false;
		else
			break;
		*word = 0;
	}
	open_image(k, path);
	k->free = &k->first;
	k->d = device_add(g, &ops, k);
	/* start to work for a disk */
	start(k);
	/* describe the disk to its driver */
	if (k->ro)
		k->d->features |= 1ULL << VIRTIO_BLK_F_RO;
	/* offer to free a disk's blocks */
	if (!k->ro)
		k->d->features |= 1ULL << VIRTIO_BLK_F_WRITE_ZEROES |
			(uint64_t)k->discard << VIRTIO_BLK_F_DISCARD;
	*(struct virtio_blk_config *)k->d->config = (struct virtio_blk_config) {
		.capacity = k->sectors, .seg_max = CHAIN_MAX - 2,
		.blk_size = k->block,
		/* more configuration of a disk */
		.max_discard_sectors = 1 << 22, .max_discard_seg = 1,
		.discard_sector_alignment = k->block / SECTOR,
		.max_write_zeroes_sectors = 1 << 22, .max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = k->discard,
	};
	signal(SIGXFSZ, SIG_IGN);	/* a file's limit: an error, no death */
	free(path);
}
