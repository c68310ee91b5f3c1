// Says what is on the pictures of the demo: classify_cpp FOLDER [LOGITS].
#include "fashion.h"

#include <algorithm>
#include <iostream>
#include <paring.hpp>

int main(int argc, char** argv) try {
  static float pictures[PICTURES][PIXELS], logits[PICTURES][CLASSES];
  if (argc < 2) return std::cerr << "usage: classify_cpp FOLDER [LOGITS]\n", 2;
  read_pictures(argv[1], pictures);

  auto options = paring::options::make();
  options.set("threads", "2");
  auto model = paring::model::load_file(path_of(argv[1], "resnet_s_fashion.onnx"), &options);
  auto session = paring::session::make(model, &options);
  for (const auto& input : model.inputs()) std::cout << "input " << input.name << "\n";

  for (int i = 0; i < PICTURES; i++) {
    session.set_input<float>(0, pictures[i], {1, 1, SIDE, SIDE});
    session.run();
    auto scores = session.output<float>(0);
    std::copy(scores.begin(), scores.end(), logits[i]);
    if (i < 6) std::cout << "picture " << i << ": " << fashion_classes[largest(logits[i])] << "\n";
  }
  try {
    (void)session.output<double>(0);
    return 1;
  } catch (const paring::error& e) {
    std::cout << "as it should be: " << e.what() << "\n";
  }
  if (argc > 2) write_logits(argv[2], logits);
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
