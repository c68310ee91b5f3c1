/* Runs the demo on a pool of threads that the program has anyway: own_threads FOLDER [LOGITS]. */
#include "fashion.h"

#include <pthread.h>

enum { THREADS = 3, ROOM = 64 };

/* Jobs in a ring; threads take them out. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  paring_work_fn run[ROOM];
  void *work[ROOM];
  unsigned first, count, done;
  int closed;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void *worker(void *arg) {
  (void)arg;
  pthread_mutex_lock(&pool.lock);
  for (;;) {
    while (pool.count == 0 && !pool.closed) pthread_cond_wait(&pool.wake, &pool.lock);
    if (pool.count == 0) break;
    unsigned at = pool.first++ % ROOM;
    pool.count--;
    pool.done++;
    pthread_mutex_unlock(&pool.lock);
    pool.run[at](pool.work[at]);
    pthread_mutex_lock(&pool.lock);
  }
  pthread_mutex_unlock(&pool.lock);
  return NULL;
}

static paring_status spawn(void *ctx, paring_work_fn run, void *work) {
  (void)ctx;
  pthread_mutex_lock(&pool.lock);
  int full = pool.count == ROOM;
  if (!full) {
    unsigned at = (pool.first + pool.count++) % ROOM;
    pool.run[at] = run;
    pool.work[at] = work;
    pthread_cond_signal(&pool.wake);
  }
  pthread_mutex_unlock(&pool.lock);
  return full ? PARING_LIMIT : PARING_OK;
}

int main(int argc, char **argv) {
  static float pictures[PICTURES][PIXELS], logits[PICTURES][CLASSES];
  pthread_t threads[THREADS];
  if (argc < 2) return fprintf(stderr, "usage: own_threads FOLDER [LOGITS]\n"), 2;
  read_pictures(argv[1], pictures);
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, worker, NULL);

  paring_options *options;
  paring_model *model;
  paring_session *session;
  check(paring_options_new(&options));
  check(paring_options_set_executor(options, THREADS + 1, spawn, NULL)); /* This thread computes, too. */
  check(paring_model_load_file(path_of(argv[1], "resnet_s_fashion.onnx"), options, &model));
  check(paring_session_new(model, options, &session));
  check(one_picture(session));
  check(paring_warmup(session));
  for (int i = 0; i < PICTURES; i++) {
    paring_tensor input = picture(pictures[i]), output;
    check(paring_session_set_input(session, 0, &input));
    check(paring_session_run(session));
    check(paring_session_output(session, 0, &output));
    memcpy(logits[i], output.data, output.bytes);
  }
  paring_session_free(session);
  paring_model_free(model);
  paring_options_free(options);

  pthread_mutex_lock(&pool.lock);
  pool.closed = 1;
  pthread_cond_broadcast(&pool.wake);
  pthread_mutex_unlock(&pool.lock);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  printf("the pool helped %u times\n", pool.done);
  if (pool.done == 0) return 1;
  if (argc > 2) write_logits(argv[2], logits);
  return 0;
}
