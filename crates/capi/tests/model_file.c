/* Opens the demo's network as a .pare file in every way, sound and damaged: model_file FOLDER PARE. */
#include "../examples/fashion.h"

#include <stdint.h>

static unsigned char *bytes;
static size_t length;

static void read_whole(const char *path) {
  FILE *file = fopen(path, "rb");
  long end = -1;
  if (file && fseek(file, 0, SEEK_END) == 0) end = ftell(file);
  if (end > 0) bytes = malloc(length = (size_t)end);
  if (!bytes || fseek(file, 0, SEEK_SET) != 0 || fread(bytes, 1, length, file) != length) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(1);
  }
  fclose(file);
}

/* Runs one picture and frees the model. */
static void run(paring_model *model, float *pixels, float *logits) {
  paring_session *session;
  paring_tensor input = picture(pixels), output;
  check(paring_session_new(model, NULL, &session));
  paring_model_free(model);
  check(paring_session_set_input(session, 0, &input));
  check(paring_session_run(session));
  check(paring_session_output(session, 0, &output));
  memcpy(logits, output.data, CLASSES * sizeof *logits);
  paring_session_free(session);
}

/* Ends the program unless `found` is what was expected and has these words. */
static void refused(const char *what, paring_status found, paring_status expected, const char *words) {
  char said[1024];
  paring_last_error(said, sizeof said, NULL);
  if (found == expected && strstr(said, words)) return;
  fprintf(stderr, "%s: %s, '%s', instead of %s and '%s'\n", what, paring_status_name(found), said,
          paring_status_name(expected), words);
  exit(1);
}

/* Cut off here and there, and with a damaged byte here and there: an error, or the right answer where nobody reads it. */
static void damaged(float *pixels, const float *expected) {
  paring_model *model;
  float logits[CLASSES];
  for (size_t len = 1; len < length; len += 1 + length / 40)
    refused("cut off", paring_model_load_borrowed(bytes, len, NULL, &model), PARING_CORRUPT, "");
  size_t sound = 0, all = 0;
  for (size_t at = 0; at < length; at += 1 + length / 40, all++) {
    bytes[at] ^= 0x10;
    paring_session *session;
    paring_tensor input = picture(pixels), output;
    paring_status status = paring_model_load_borrowed(bytes, length, NULL, &model);
    if (status == PARING_OK) {
      status = paring_session_new(model, NULL, &session);
      paring_model_free(model);
      if (status == PARING_OK) status = paring_session_set_input(session, 0, &input);
      if (status == PARING_OK) status = paring_session_run(session);
      if (status == PARING_OK) {
        check(paring_session_output(session, 0, &output));
        memcpy(logits, output.data, sizeof logits);
        if (memcmp(logits, expected, sizeof logits)) fprintf(stderr, "byte %zu changes the result\n", at), exit(1);
        sound++;
      }
      paring_session_free(session);
    }
    if (status == PARING_INTERNAL) fprintf(stderr, "byte %zu is a defect\n", at), exit(1);
    bytes[at] ^= 0x10;
  }
  printf("%zu of %zu damaged bytes were found\n", all - sound, all);
}

int main(int argc, char **argv) {
  static float pictures[PICTURES][PIXELS], expected[CLASSES], logits[CLASSES];
  paring_model *model;
  if (argc < 3) return fprintf(stderr, "usage: model_file FOLDER PARE\n"), 2;
  read_pictures(argv[1], pictures);
  read_whole(argv[2]);
  check(paring_model_load_file(path_of(argv[1], "resnet_s_fashion.onnx"), NULL, &model));
  run(model, pictures[0], expected);

  /* From memory that is aligned to 64 bytes, and that is not. */
  unsigned char *copies = malloc(length + 65), *aligned = copies + (64 - (uintptr_t)copies % 64);
  for (int way = 0; way < 4; way++) {
    switch (way) {
      case 0: check(paring_model_load_file(argv[2], NULL, &model)); break;
      case 1: check(paring_model_load_bytes(bytes, length, NULL, &model)); break;
      default:
        memcpy(aligned + (way == 3), bytes, length);
        check(paring_model_load_borrowed(aligned + (way == 3), length, NULL, &model));
    }
    run(model, pictures[0], logits);
    if (memcmp(logits, expected, sizeof logits)) return fprintf(stderr, "way %d: another result\n", way), 1;
  }
  free(copies);

  bytes[0] ^= 1;
  refused("no mark", paring_model_load_bytes(bytes, length, NULL, &model), PARING_CORRUPT, "");
  bytes[0] ^= 1;
  refused("no file", paring_model_load_file("there is no such.pare", NULL, &model), PARING_IO, "no such.pare");
  damaged(pictures[0], expected);
  free(bytes);
  puts("opened in every way");
  return 0;
}
