/* A caller that does everything wrong: hostile FOLDER MODEL. Whatever it does is an error, never a crash. */
#define _POSIX_C_SOURCE 200112L
#include "../examples/fashion.h"

#include <pthread.h>

static int wrong;

/* Checks that a call failed so. */
static void expect(int line, paring_status found, paring_status expected) {
  if (found == expected) return;
  char words[512];
  paring_last_error(words, sizeof words, NULL);
  fprintf(stderr, "line %d: %s instead of %s: %s\n", line, paring_status_name(found), paring_status_name(expected), words);
  wrong = 1;
}
#define FAILS(call, status) expect(__LINE__, (call), (status))
#define INVALID(call) FAILS(call, PARING_INVALID_ARGUMENT)

static void free_nothing(void *ctx, void *data, size_t bytes) { (void)ctx, (void)data, (void)bytes; }

static void handles(const char *file) {
  paring_options *options;
  paring_model *model;
  paring_session *session;
  paring_tensor view;
  paring_tensor_info info;
  size_t n = 9;
  check(paring_options_new(&options));
  check(paring_model_load_file(file, options, &model));
  check(paring_session_new(model, options, &session));
  check(one_picture(session));

  paring_model *models[] = {NULL, (paring_model *)options, (paring_model *)session, (paring_model *)&view, (paring_model *)~(size_t)0};
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    paring_session *out = session;
    INVALID(paring_session_new(models[i], NULL, &out));
    if (out) wrong = 1;
    INVALID(paring_model_io_count(models[i], PARING_INPUT, &n));
    INVALID(paring_model_io_info(models[i], PARING_INPUT, 0, &info));
    INVALID(paring_model_io_index(models[i], PARING_INPUT, "x", &n));
    INVALID(paring_model_metadata(models[i], "name", NULL, 0, &n));
  }
  INVALID(paring_options_new(NULL));
  INVALID(paring_session_new(model, NULL, NULL));
  paring_model *none;
  INVALID(paring_model_load_file(NULL, NULL, &none));
  INVALID(paring_session_run((paring_session *)model));
  INVALID(paring_model_io_info(model, PARING_OUTPUT, 99, &info));
  INVALID(paring_model_io_info(model, 7, 0, &info));
  INVALID(paring_session_output(session, 0, NULL));
  INVALID(paring_session_output(session, 0, &view));
  INVALID(paring_session_set_input(session, 0, NULL));
  INVALID(paring_session_bind_output(session, 0, NULL));
  INVALID(paring_session_bind_arena(session, NULL, 0));
  INVALID(paring_session_resize(session, 0, NULL, 4));
  INVALID(paring_session_profile_json(session, NULL, 0, NULL));
  INVALID(paring_options_set(options, "colour", "red"));
  INVALID(paring_options_set(options, NULL, NULL));
  INVALID(paring_options_set_allocator(options, NULL, free_nothing, NULL));
  INVALID(paring_kernel_register(options, NULL));
  FAILS(paring_last_error(NULL, 5, NULL), PARING_INVALID_ARGUMENT);

  /* In the wrong order, and twice. */
  paring_model_free(model);
  paring_options_free(options);
  check(paring_session_run(session));
  paring_session_free(session);
  paring_session_free(session);
  paring_model_free(model);
  paring_options_free(options);
  INVALID(paring_session_run(session));
  INVALID(paring_session_cancel(session));
  INVALID(paring_session_new(model, NULL, &session));
  paring_session_free(NULL);
  paring_model_free(NULL);
  paring_options_free(NULL);
}

static void sizes(const char *file) {
  paring_options *options;
  paring_model *model;
  check(paring_options_new(&options));
  struct {
    paring_limits limits;
    uint64_t more;
  } newer = {{sizeof newer, 0, 0, 0, 0}, 1};
  INVALID(paring_options_set_limits(options, &newer.limits));
  newer.more = 0;
  check(paring_options_set_limits(options, &newer.limits));
  const size_t bad[] = {0, 1, sizeof(size_t) - 1, 1 << 20, ~(size_t)0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    paring_limits limits = {bad[i], 0, 0, 0, 0};
    paring_kernel kernel = {0};
    kernel.struct_size = bad[i];
    INVALID(paring_options_set_limits(options, &limits));
    INVALID(paring_kernel_register(options, &kernel));
  }
  paring_limits few = {sizeof few, 0, 3, 0, 0};
  check(paring_options_set_limits(options, &few));
  FAILS(paring_model_load_file(file, options, &model), PARING_LIMIT);
  if (model) wrong = 1;
  paring_options_free(options);
}

static void tensors(const char *file) {
  static float pixels[PIXELS];
  paring_model *model;
  paring_session *session;
  check(paring_model_load_file(file, NULL, &model));
  check(paring_session_new(model, NULL, &session));
  int64_t negative[4] = {1, 1, SIDE, -SIDE}, huge[4] = {INT64_MAX, INT64_MAX, 2, 2}, other[4] = {1, 1, 14, 56};
  paring_tensor good = picture(pixels), bad[8];
  for (int i = 0; i < 8; i++) bad[i] = good;
  bad[0].dtype = PARING_F64;
  bad[1].dtype = -1;
  bad[2].bytes--;
  bad[3].data = NULL;
  bad[4].rank = INT32_MAX;
  bad[5].dims = negative;
  bad[6].dims = huge;
  bad[7].dims = other;
  for (int i = 0; i < 8; i++) INVALID(paring_session_set_input(session, 0, &bad[i]));
  INVALID(paring_session_set_input(session, 1, &good));
  check(paring_session_set_input(session, 0, &good));
  check(paring_session_run(session));
  paring_session_free(session);
  paring_model_free(model);
}

static void *refuse_memory(void *ctx, size_t bytes, size_t alignment) {
  (void)ctx, (void)bytes, (void)alignment;
  return NULL;
}
static paring_status refuse_thread(void *ctx, paring_work_fn run, void *work) {
  (void)ctx, (void)run, (void)work;
  return PARING_INTERNAL;
}
/* Does the work at once, on the calling thread, and again. */
static paring_status do_at_once(void *ctx, paring_work_fn run, void *work) {
  (void)ctx;
  run(work);
  run(work);
  run(NULL);
  return PARING_OK;
}
static paring_status forget(void *ctx, paring_work_fn run, void *work) {
  (void)ctx, (void)run, (void)work;
  return PARING_OK;
}
static paring_status refuse_infer(void *ctx, const paring_node *node, paring_shape *outputs) {
  (void)ctx, (void)node, (void)outputs;
  return 12345;
}
static paring_status infer(void *ctx, const paring_node *node, paring_shape *outputs) {
  (void)ctx;
  outputs->dtype = PARING_F32;
  outputs->rank = node->inputs->rank;
  for (int32_t d = 0; d < outputs->rank; d++) outputs->dims[d] = node->inputs->dims[d];
  return PARING_OK;
}
static paring_status refuse_run(void *ctx, void *state, const paring_run *run) {
  (void)ctx, (void)state, (void)run;
  return -1;
}

static void callbacks(const char *file, const char *median) {
  paring_options *options;
  paring_model *model;
  paring_session *session;
  check(paring_model_load_file(file, NULL, &model));
  check(paring_options_new(&options));
  check(paring_options_set_allocator(options, refuse_memory, free_nothing, NULL));
  check(paring_session_new(model, options, &session));
  FAILS(one_picture(session), PARING_OUT_OF_MEMORY);
  paring_session_free(session);
  check(paring_options_set_allocator(options, NULL, NULL, NULL));
  const paring_spawn_fn spawns[] = {refuse_thread, do_at_once, forget};
  for (int i = 0; i < 3; i++) {
    check(paring_options_set_executor(options, 4, spawns[i], NULL));
    check(paring_session_new(model, options, &session));
    check(one_picture(session));
    for (int k = 0; k < 3; k++) check(paring_session_run(session));
    paring_session_free(session);
  }
  check(paring_options_set_executor(options, 0, NULL, NULL));
  paring_model_free(model);

  FAILS(paring_model_load_file(median, options, &model), PARING_UNSUPPORTED);
  paring_kernel kernel = {0};
  kernel.struct_size = sizeof kernel;
  kernel.domain = "com.example";
  kernel.op = "Median";
  kernel.infer = refuse_infer;
  INVALID(paring_kernel_register(options, &kernel));
  kernel.run = refuse_run;
  check(paring_kernel_register(options, &kernel));
  FAILS(paring_model_load_file(median, options, &model), PARING_CORRUPT);
  kernel.infer = infer;
  check(paring_kernel_register(options, &kernel));
  check(paring_model_load_file(median, options, &model));
  check(paring_session_new(model, options, &session));
  float x[4] = {1, 2, 3, 4};
  int64_t dims[4] = {1, 1, 2, 2};
  paring_tensor input = {x, sizeof x, dims, 4, PARING_F32};
  INVALID(paring_session_run(session)); /* Its input has no shape yet. */
  check(paring_session_set_input(session, 0, &input));
  FAILS(paring_session_run(session), PARING_CALLBACK);
  INVALID(paring_session_output(session, 0, &input));
  paring_session_free(session);
  paring_model_free(model);
  paring_options_free(options);
}

static struct {
  paring_session *session;
  int ok, busy, cancelled, other;
} shared[2];
static pthread_barrier_t start;

static void *run_many(void *arg) {
  int me = *(int *)arg;
  pthread_barrier_wait(&start);
  for (int i = 0; i < 100; i++) {
    switch (paring_session_run(shared[me].session)) {
      case PARING_OK: shared[me].ok++; break;
      case PARING_BUSY: shared[me].busy++; break;
      case PARING_CANCELLED: shared[me].cancelled++; break;
      default: shared[me].other++;
    }
    if (i % 8 == 0) paring_session_cancel(shared[me].session);
  }
  return NULL;
}

/* Two threads on one session, which a third frees meanwhile. */
static void threads(const char *file) {
  paring_model *model;
  paring_session *session;
  check(paring_model_load_file(file, NULL, &model));
  for (int freed = 0; freed < 2; freed++) {
    pthread_t thread[2];
    int number[2] = {0, 1};
    check(paring_session_new(model, NULL, &session));
    check(one_picture(session));
    memset(shared, 0, sizeof shared);
    pthread_barrier_init(&start, NULL, 3);
    for (int i = 0; i < 2; i++) {
      shared[i].session = session;
      pthread_create(&thread[i], NULL, run_many, &number[i]);
    }
    pthread_barrier_wait(&start);
    if (freed) paring_session_free(session);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
    int ok = shared[0].ok + shared[1].ok, other = shared[0].other + shared[1].other;
    printf("%d runs, %d busy, %d cancelled, %d on what was freed\n", ok, shared[0].busy + shared[1].busy,
           shared[0].cancelled + shared[1].cancelled, other);
    if (!freed && (ok == 0 || other > 0)) wrong = 1;
    paring_session_free(session);
  }
  paring_model_free(model);
}

int main(int argc, char **argv) {
  char file[4096];
  if (argc < 3) return 2;
  snprintf(file, sizeof file, "%s", path_of(argv[1], "resnet_s_fashion.onnx"));
  handles(file);
  sizes(file);
  tensors(file);
  callbacks(file, argv[2]);
  threads(file);
  puts(wrong ? "something was accepted that is wrong" : "everything was refused");
  return wrong;
}
