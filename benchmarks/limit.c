/* The limit of this machine: receive a file over plain HTTP, write it, and hash it in a second thread.
 *
 *     limit PORT PATH SIZE OUTPUT      (prints the SHA-256)
 *
 * One connection to 127.0.0.1, `recv` into a ring of buffers, `pwrite` to a preallocated file. No error is handled
 * beyond noticing it, nothing is durable: this is what there is to be compared with, not a downloader.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 8, SLOT = 1 << 20 };

static unsigned char ring[SLOTS][SLOT];
static size_t lengths[SLOTS];
static unsigned long filled, hashed; /* how many slots so far */
static int over;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *hash(void *context) {
  for (;;) {
    pthread_mutex_lock(&lock);
    while (hashed == filled && !over) pthread_cond_wait(&changed, &lock);
    int empty = hashed == filled;
    pthread_mutex_unlock(&lock);
    if (empty) return NULL;
    if (!EVP_DigestUpdate(context, ring[hashed % SLOTS], lengths[hashed % SLOTS])) fail("hash");
    pthread_mutex_lock(&lock);
    hashed++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
  }
}

static void hand_over(size_t length) {
  pthread_mutex_lock(&lock);
  lengths[filled % SLOTS] = length;
  filled++;
  pthread_cond_signal(&changed);
  while (filled - hashed == SLOTS) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static int ask(int port, const char *path) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address)) fail("connect");
  char request[1024];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
  if (send(connection, request, (size_t)length, 0) != length) fail("send");
  return connection;
}

/* Reads the answer's head into the first slot; returns how many bytes of the body came with it. */
static size_t read_head(int connection) {
  char *start = (char *)ring[0], *end;
  size_t have = 0;
  do {
    ssize_t count = recv(connection, start + have, 16384, 0);
    if (count <= 0 || have + (size_t)count + 16385 > SLOT) fail("head");
    have += (size_t)count;
    start[have] = 0;
  } while (!(end = strstr(start, "\r\n\r\n")));
  if (strncmp(start, "HTTP/1.1 200", 12)) fail("status");
  have -= (size_t)(end + 4 - start);
  memmove(start, end + 4, have);
  return have;
}

int main(int count, char **words) {
  if (count != 5) return 2;
  off_t size = atoll(words[3]), at = 0;
  int file = open(words[4], O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || ftruncate(file, size)) fail("open");
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL)) fail("hash");
  int connection = ask(atoi(words[1]), words[2]);
  size_t have = read_head(connection);
  pthread_t thread;
  if (pthread_create(&thread, NULL, hash, context)) fail("thread");
  while (at < size) {
    unsigned char *slot = ring[filled % SLOTS];
    while (have < SLOT && at + (off_t)have < size) {
      ssize_t got = recv(connection, slot + have, SLOT - have, 0);
      if (got <= 0) fail("recv");
      have += (size_t)got;
    }
    if (pwrite(file, slot, have, at) != (ssize_t)have) fail("pwrite");
    at += (off_t)have;
    hand_over(have);
    have = 0;
  }
  pthread_mutex_lock(&lock);
  over = 1;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  pthread_join(thread, NULL);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length;
  EVP_DigestFinal_ex(context, digest, &length);
  for (unsigned int i = 0; i < length; i++) printf("%02x", digest[i]);
  putchar('\n');
  return close(file) ? 1 : 0;
}
