/* Brings an operator that the library does not know: custom_op MODEL, which uses com.example.Median.
 *
 * Median has one attribute, `size`: every element of a map becomes the median of a window of size x size around it, as
 * far as that lies within the map. Maps are computed in parallel. */
#include "fashion.h"

/* What is settled before running: it depends on the attributes and shapes of one node. */
typedef struct {
  int64_t size, maps, height, width;
} median;

static paring_status infer(void *ctx, const paring_node *node, paring_shape *outputs) {
  (void)ctx;
  if (node->input_count != 1 || node->inputs[0].dtype != PARING_F32) {
    paring_callback_error("expected one input of f32");
    return PARING_INVALID_ARGUMENT;
  }
  const paring_tensor *x = &node->inputs[0];
  if (x->rank != -1 && x->rank != 4) {
    paring_callback_error("expected an input of rank 4");
    return PARING_INVALID_ARGUMENT;
  }
  outputs[0].dtype = x->dtype;
  outputs[0].rank = x->rank;
  for (int32_t d = 0; d < x->rank; d++) outputs[0].dims[d] = x->dims[d]; /* -1 stays -1. */
  return PARING_OK;
}

static paring_status prepare(void *ctx, const paring_node *node, void **state) {
  (void)ctx;
  int64_t size = 0;
  for (size_t i = 0; i < node->attribute_count; i++) {
    const paring_attribute *a = &node->attributes[i];
    if (!strcmp(a->name, "size") && a->kind == PARING_ATTRIBUTE_INT) size = a->i;
  }
  if (size < 1 || size > 15 || size % 2 == 0) {
    paring_callback_error("expected an attribute size that is odd, and 15 at most");
    return PARING_INVALID_ARGUMENT;
  }
  median *m = malloc(sizeof *m);
  if (!m) return PARING_OUT_OF_MEMORY;
  const int64_t *dims = node->inputs[0].dims;
  *m = (median){size, dims[0] * dims[1], dims[2], dims[3]};
  *state = m;
  return PARING_OK;
}

static void release(void *ctx, void *state) {
  (void)ctx;
  free(state);
}

typedef struct {
  const median *m;
  const float *x;
  float *y;
} job;

static void one_map(void *arg, size_t map, size_t worker) {
  const job *j = arg;
  const median *m = j->m;
  const float *x = j->x + (int64_t)map * m->height * m->width;
  float *y = j->y + (int64_t)map * m->height * m->width, window[15 * 15];
  int64_t half = m->size / 2;
  (void)worker;
  for (int64_t row = 0; row < m->height; row++)
    for (int64_t col = 0; col < m->width; col++) {
      int n = 0;
      for (int64_t r = row - half; r <= row + half; r++)
        for (int64_t c = col - half; c <= col + half; c++) {
          if (r < 0 || r >= m->height || c < 0 || c >= m->width) continue;
          float v = x[r * m->width + c];
          int at = n++;
          for (; at > 0 && window[at - 1] > v; at--) window[at] = window[at - 1];
          window[at] = v;
        }
      y[row * m->width + col] = window[n / 2];
    }
}

static paring_status run(void *ctx, void *state, const paring_run *r) {
  (void)ctx;
  job j = {state, r->inputs[0].data, r->outputs[0].data};
  return r->parallel(r, (size_t)j.m->maps, one_map, &j);
}

static void drop(void *ctx) { *(int *)ctx += 1; }

int main(int argc, char **argv) {
  int dropped = 0;
  if (argc < 2) return fprintf(stderr, "usage: custom_op MODEL\n"), 2;

  paring_kernel kernel = {0};
  kernel.struct_size = sizeof kernel;
  kernel.domain = "com.example";
  kernel.op = "Median";
  kernel.version = 1;
  kernel.infer = infer;
  kernel.prepare = prepare;
  kernel.run = run;
  kernel.release = release;
  kernel.drop = drop;
  kernel.ctx = &dropped;

  paring_options *options;
  paring_model *model;
  paring_session *session;
  check(paring_options_new(&options));
  check(paring_kernel_register(options, &kernel));
  check(paring_model_load_file(argv[1], options, &model));
  check(paring_session_new(model, options, &session));
  paring_options_free(options);
  paring_model_free(model);

  /* Two maps with specks: the medians know nothing of them. */
  float x[2][4][4] = {
    {{1, 1, 1, 1}, {1, 9, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}},
    {{2, 2, 2, 2}, {2, 2, 2, 2}, {2, 2, -9, 2}, {2, 2, 2, 2}},
  };
  int64_t dims[4] = {1, 2, 4, 4};
  paring_tensor input = {x, sizeof x, dims, 4, PARING_F32}, output;
  check(paring_session_set_input(session, 0, &input));
  check(paring_session_run(session));
  check(paring_session_output(session, 0, &output));
  const float *y = output.data;
  for (int i = 0; i < 32; i++)
    if (y[i] != (i < 16 ? 1.0f : 2.0f)) return fprintf(stderr, "element %d is %g\n", i, y[i]), 1;
  paring_session_free(session);
  if (dropped != 1) return fprintf(stderr, "the operator was dropped %d times\n", dropped), 1;
  puts("the specks are gone");
  return 0;
}
