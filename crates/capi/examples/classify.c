/* Says what is on the pictures of the demo: classify FOLDER [LOGITS]. */
#include "fashion.h"

int main(int argc, char **argv) {
  static float pictures[PICTURES][PIXELS], logits[PICTURES][CLASSES];
  if (argc < 2) return fprintf(stderr, "usage: classify FOLDER [LOGITS]\n"), 2;
  read_pictures(argv[1], pictures);

  paring_model *model;
  paring_session *session;
  check(paring_model_load_file(path_of(argv[1], "resnet_s_fashion.onnx"), NULL, &model));
  check(paring_session_new(model, NULL, &session));
  paring_model_free(model); /* The session keeps what it needs. */

  for (int i = 0; i < PICTURES; i++) {
    paring_tensor input = picture(pictures[i]), output;
    check(paring_session_set_input(session, 0, &input));
    check(paring_session_run(session));
    check(paring_session_output(session, 0, &output));
    memcpy(logits[i], output.data, output.bytes);
    if (i < 6) printf("picture %d: %s\n", i, fashion_classes[largest(logits[i])]);
  }
  paring_session_free(session);
  if (argc > 2) write_logits(argv[2], logits);
  return 0;
}
