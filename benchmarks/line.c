/*
 * A long line between two network namespaces: one-way delay, a shared link with a queue, a pace for each connection
 * and random loss. It works on kernels without netem.
 *
 *     line CLIENT SERVER MBIT ONE_WAY_MS LOSS_PERCENT PACE_MB QUEUE_MS      (namespaces as below /run/netns; pace 0: none)
 *
 * A TUN device `line0` in each namespace; each packet from one is written to the other when it is due. From the server a
 * packet may be lost, waits for the pace of its connection, for the link, and for the delay; to the server it waits for
 * the link and the delay. What would wait longer than the queue is dropped, as by a router. The end of standard input
 * ends the process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { CLIENT, SERVER };

struct packet {
    double due;
    unsigned long number;
    int from, length, out;
    unsigned char data[];
};

static struct packet **heap;
static size_t count, room;
static int device[2];
static double link_free[2], paced_until[4 << 16], rate, delay, loss, pace, queue;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_device(const char *name)
{
    char path[256];
    int home = open("/proc/self/ns/net", O_RDONLY), there, fd;
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(path, sizeof path, "/run/netns/%s", name);
    if (home < 0 || (there = open(path, O_RDONLY)) < 0 || setns(there, CLONE_NEWNET))
        die(path);
    strcpy(request.ifr_name, "line0");
    if ((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0 || ioctl(fd, TUNSETIFF, &request))
        die("/dev/net/tun");
    if (setns(home, CLONE_NEWNET))
        die("setns");
    close(home);
    close(there);
    return fd;
}

static int earlier(const struct packet *a, const struct packet *b)
{
    return a->due < b->due || (a->due == b->due && a->number < b->number);
}

static void push(struct packet *p)
{
    size_t at = count++;
    if (count > room && !(heap = realloc(heap, (room = room ? 2 * room : 4096) * sizeof *heap)))
        die("realloc");
    for (; at && earlier(p, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = p;
}

static struct packet *pop(void)
{
    struct packet *top = heap[0], *last = heap[--count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < count) {
        if (child + 1 < count && earlier(heap[child + 1], heap[child]))
            child++;
        if (!earlier(heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* The moment at which a packet that arrives at `t` has passed something that handles `speed` bytes a second. */
static double passed(double *free_at, double t, double speed, int length)
{
    return *free_at = (*free_at > t ? *free_at : t) + length / speed;
}

/* Send a packet on from what it has just passed: into the link, or out of the line. */
static void go_on(struct packet *p)
{
    if (p->out) {
        if (write(device[!p->from], p->data, p->length) < 0) { /* the device is full: as lost as in a queue */
        }
    } else if (link_free[p->from] - p->due <= queue) {
        p->due = passed(&link_free[p->from], p->due, rate, p->length) + delay;
        p->out = 1;
        push(p);
        return;
    }
    free(p);
}

static void take_in(int from)
{
    static unsigned char buffer[65536];
    static unsigned long number;
    for (int turn = 0; turn < 64; turn++) {
        int length = read(device[from], buffer, sizeof buffer);
        if (length <= 0)
            return;
        if (buffer[0] >> 4 != 4 || (from == SERVER && length > 200 && drand48() < loss))
            continue;
        struct packet *p = malloc(sizeof *p + length);
        if (!p)
            die("malloc");
        *p = (struct packet){.due = now(), .number = number++, .from = from, .length = length};
        memcpy(p->data, buffer, length);
        if (from == SERVER && pace > 0) {
            const unsigned char *ports = buffer + (buffer[0] & 15) * 4;
            p->due = passed(&paced_until[(buffer[15] & 3) << 16 | ports[2] << 8 | ports[3]], p->due, pace, length);
        }
        push(p); /* the link takes it in its turn: a paced packet must not hold up those of other connections */
    }
}

int main(int words, char **word)
{
    struct sched_param priority = {.sched_priority = 10};
    if (words != 8)
        return 2;
    rate = atof(word[3]) * 1e6 / 8, delay = atof(word[4]) / 1e3, loss = atof(word[5]) / 100;
    pace = atof(word[6]) * 1e6, queue = atof(word[7]) / 1e3;
    device[CLIENT] = open_device(word[1]);
    device[SERVER] = open_device(word[2]);
    sched_setscheduler(0, SCHED_RR, &priority); /* late packets would be a slow client's own loss */
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd wait[3] = {{device[CLIENT], POLLIN, 0}, {device[SERVER], POLLIN, 0}, {0, POLLIN, 0}};
        double left = count ? heap[0]->due - now() : 1;
        struct timespec most = {.tv_sec = left > 0 ? (long)left : 0, .tv_nsec = left > 0 ? (left - (long)left) * 1e9 : 0};
        if (left > 0)
            ppoll(wait, 3, &most, NULL);
        char end;
        if (wait[2].revents && read(0, &end, 1) <= 0)
            return 0;
        take_in(CLIENT);
        take_in(SERVER);
        for (double t = now(); count && heap[0]->due <= t;)
            go_on(pop());
    }
}
