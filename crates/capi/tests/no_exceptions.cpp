// The C++ wrapper where there are no exceptions: no_exceptions FOLDER.
#include <cstdio>
#include <paring.hpp>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  auto none = paring::model::load_file("/nowhere/at/all.onnx");
  if (none || none.error().status() != PARING_IO) return 1;
  std::printf("as it should be: %s\n", none.error().what());

  auto options = paring::options::make();
  if (!options || options->set("no such option", "1") || !options->set("threads", "1")) return 1;
  auto model = paring::model::load_file(std::string(argv[1]) + "/resnet_s_fashion.onnx", &*options);
  if (!model) return std::printf("%s\n", model.error().what()), 1;
  auto session = paring::session::make(*model);
  if (session->run() || !session->resize(0, {1, 1, 28, 28})) return 1;
  auto pixels = session->input<float>(0);
  if (!pixels || pixels->size() != 28 * 28 || session->input<double>(0)) return 1;
  for (float& p : *pixels) p = 0.5f;
  if (!session->run()) return 1;
  auto scores = session->output<float>(0);
  auto inputs = model->inputs();
  return scores && scores->size() == 10 && inputs && inputs->size() == 1 ? 0 : 1;
}
