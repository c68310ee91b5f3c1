/* What the examples share: the demo's pictures, and checking calls. */
#ifndef FASHION_H
#define FASHION_H

#include <paring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, PICTURES = 48, CLASSES = 10 };

static const char *const fashion_classes[CLASSES] = {
  "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
};

/* Ends the program with the words of the error where a call fails. */
static inline void check(paring_status status) {
  char words[1024];
  if (status == PARING_OK) return;
  paring_last_error(words, sizeof words, NULL);
  fprintf(stderr, "%s: %s\n", paring_status_name(status), words);
  exit(1);
}

/* `folder`/`name`, which stays until the next call. */
static inline const char *path_of(const char *folder, const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

/* The pictures of fashion_x.npy: a header of 128 bytes, then a byte for each pixel. */
static inline void read_pictures(const char *folder, float (*pictures)[PIXELS]) {
  static unsigned char bytes[128 + PICTURES * PIXELS];
  FILE *file = fopen(path_of(folder, "fashion_x.npy"), "rb");
  if (!file || fread(bytes, 1, sizeof bytes, file) != sizeof bytes) {
    fprintf(stderr, "%s cannot be read\n", path_of(folder, "fashion_x.npy"));
    exit(1);
  }
  fclose(file);
  for (int i = 0; i < PICTURES; i++)
    for (int p = 0; p < PIXELS; p++) pictures[i][p] = (float)bytes[128 + i * PIXELS + p] / 255.0f;
}

/* The pixels of one picture as the tensor that the network takes. */
static inline paring_tensor picture(float *pixels) {
  static const int64_t dims[4] = {1, 1, SIDE, SIDE};
  paring_tensor tensor = {pixels, PIXELS * sizeof(float), dims, 4, PARING_F32};
  return tensor;
}

/* The network takes any number of pictures at once: these programs give it one. */
static inline paring_status one_picture(paring_session *session) {
  static const int64_t dims[4] = {1, 1, SIDE, SIDE};
  return paring_session_resize(session, 0, dims, 4);
}

static inline int largest(const float *scores) {
  int best = 0;
  for (int i = 1; i < CLASSES; i++)
    if (scores[i] > scores[best]) best = i;
  return best;
}

static inline void write_logits(const char *path, float (*logits)[CLASSES]) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(logits, sizeof *logits, PICTURES, file) != PICTURES || fclose(file)) {
    fprintf(stderr, "%s cannot be written\n", path);
    exit(1);
  }
}

#endif
