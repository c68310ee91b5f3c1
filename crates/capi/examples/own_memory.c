/* Runs the demo on memory of its own: own_memory FOLDER [LOGITS].
 *
 * Inputs and outputs come from an allocator of this program's, which counts; the working memory is a static block; and
 * results appear where they are wanted, without a copy. */
#include "fashion.h"

#include <stdalign.h>

static size_t in_use, most;

static void *take(void *ctx, size_t bytes, size_t alignment) {
  (void)ctx;
  in_use += bytes;
  if (in_use > most) most = in_use;
  return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void give_back(void *ctx, void *data, size_t bytes) {
  (void)ctx;
  in_use -= bytes;
  free(data);
}

static alignas(64) unsigned char arena[4 << 20];

int main(int argc, char **argv) {
  static float pictures[PICTURES][PIXELS], logits[PICTURES][CLASSES];
  if (argc < 2) return fprintf(stderr, "usage: own_memory FOLDER [LOGITS]\n"), 2;
  read_pictures(argv[1], pictures);

  paring_options *options;
  paring_model *model;
  paring_session *session;
  check(paring_options_new(&options));
  check(paring_options_set(options, "threads", "1"));
  check(paring_options_set_allocator(options, take, give_back, NULL));
  check(paring_model_load_file(path_of(argv[1], "resnet_s_fashion.onnx"), options, &model));
  check(paring_session_new(model, options, &session));

  check(one_picture(session));
  check(paring_warmup(session)); /* Plans, so that it is known what is needed. */

  size_t need;
  check(paring_session_memory(session, &need, NULL));
  if (need > sizeof arena) return fprintf(stderr, "the arena needs %zu bytes\n", need), 1;
  check(paring_session_bind_arena(session, arena, sizeof arena));
  size_t after = in_use; /* The session has given its own working memory back. */

  paring_tensor input; /* Written to directly. */
  check(paring_session_input(session, 0, &input));
  for (int i = 0; i < PICTURES; i++) {
    paring_tensor output = {logits[i], sizeof logits[i], NULL, 0, PARING_F32};
    check(paring_session_bind_output(session, 0, &output));
    memcpy(input.data, pictures[i], input.bytes);
    check(paring_session_run(session));
  }
  printf("working memory: %zu bytes, given; inputs and outputs: %zu bytes; at most: %zu bytes\n", need, after, most);
  if (most < need + after || in_use > after) return fprintf(stderr, "that cannot be: %zu bytes are in use\n", in_use), 1;

  paring_session_free(session);
  paring_model_free(model);
  paring_options_free(options);
  if (in_use != 0) return fprintf(stderr, "%zu bytes were not given back\n", in_use), 1;
  if (argc > 2) write_logits(argv[2], logits);
  return 0;
}
