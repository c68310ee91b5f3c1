// Brings an operator that the library does not know: custom_op_cpp MODEL, which uses com.example.Median (see custom_op.c).
// Here the window is found by sorting, and wrong attributes are exceptions.
#include <algorithm>
#include <iostream>
#include <paring.hpp>
#include <string_view>

namespace {

struct prepared_median : paring::custom_operator::prepared {
  std::int64_t size, height, width;

  paring_status run(const paring_run& run) const override {
    auto x = static_cast<const float*>(run.inputs[0].data);
    auto y = static_cast<float*>(run.outputs[0].data);
    std::vector<float> window;
    for (std::size_t at = 0; at < run.inputs[0].bytes / sizeof(float); at++) {
      auto i = static_cast<std::int64_t>(at), col = i % width, row = i / width % height, map = i - row * width - col;
      window.clear();
      for (auto r = std::max<std::int64_t>(row - size / 2, 0); r <= std::min(row + size / 2, height - 1); r++)
        for (auto c = std::max<std::int64_t>(col - size / 2, 0); c <= std::min(col + size / 2, width - 1); c++)
          window.push_back(x[map + r * width + c]);
      std::sort(window.begin(), window.end());
      y[at] = window[window.size() / 2];
    }
    return PARING_OK;
  }
};

struct median : paring::custom_operator {
  std::int64_t least;

  explicit median(std::int64_t least) : custom_operator("com.example", "Median", 1), least(least) {}

  paring_status infer(const paring_node& node, paring_shape* outputs) const override {
    const paring_tensor& x = node.inputs[0];
    outputs[0].dtype = x.dtype;
    outputs[0].rank = x.rank;
    std::copy_n(x.dims, std::max(x.rank, 0), outputs[0].dims);
    return PARING_OK;
  }

  paring_status prepare(const paring_node& node, std::unique_ptr<prepared>& out) const override {
    auto ready = std::make_unique<prepared_median>();
    for (std::size_t i = 0; i < node.attribute_count; i++)
      if (std::string_view(node.attributes[i].name) == "size") ready->size = node.attributes[i].i;
    if (ready->size < least) throw std::invalid_argument("the window is too small");
    ready->height = node.inputs[0].dims[2];
    ready->width = node.inputs[0].dims[3];
    out = std::move(ready);
    return PARING_OK;
  }
};

paring::session session_of(const char* file, std::int64_t least) {
  auto options = paring::options::make();
  options.add(std::make_unique<median>(least));
  auto model = paring::model::load_file(file, &options);
  return paring::session::make(model, &options);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::cerr << "usage: custom_op_cpp MODEL\n", 2;
  std::vector<float> x(2 * 5 * 5, 3.0f);
  x[12] = 100.0f;

  auto session = session_of(argv[1], 1);
  session.set_input<float>(0, x, {1, 2, 5, 5});
  session.run();
  for (float y : session.output<float>(0))
    if (y != 3.0f) return std::cerr << y << " instead of 3\n", 1;
  std::cout << "the speck is gone\n";

  auto picky = session_of(argv[1], 5);
  try {
    picky.set_input<float>(0, x, {1, 2, 5, 5});
    picky.run();
    return 1;
  } catch (const paring::error& e) {
    std::cout << "as it should be: " << e.what() << "\n";
    return e.status() == PARING_CALLBACK ? 0 : 1;
  }
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
