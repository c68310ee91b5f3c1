// Paring for C++17: handles that free themselves, views of tensors, errors as exceptions.
//
//   auto model = paring::model::load_file("net.onnx");
//   auto session = paring::session::make(model);
//   session.set_input<float>(0, pixels, {1, 3, 224, 224});
//   session.run();
//   for (float score : session.output<float>(0)) ...
//
// With PARING_NO_EXCEPTIONS defined, as it is where the compiler has none, whatever can fail returns a paring::result,
// which holds a value or an error. Threads, lifetimes and what is zeroed are as paring.h says. What is not wrapped here
// is called with get(), the handle.
#ifndef PARING_HPP
#define PARING_HPP

#include "paring.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if !defined(PARING_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#define PARING_NO_EXCEPTIONS
#endif
#ifndef PARING_NO_EXCEPTIONS
#include <stdexcept>
#endif

namespace paring {

// ---- errors

#ifdef PARING_NO_EXCEPTIONS
// What went wrong.
class error {
 public:
  error() = default;
  error(paring_status status, std::string message) : status_(status), message_(std::move(message)) {}
  const char* what() const noexcept { return message_.c_str(); }
#else
// What went wrong.
class error : public std::runtime_error {
 public:
  error(paring_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
#endif
  paring_status status() const noexcept { return status_; }

  // The error of the last call of this thread that failed, with `status`.
  static error last(paring_status status) {
    std::size_t need = 0;
    paring_last_error(nullptr, 0, &need);
    std::string words(need, '\0');
    paring_last_error(words.data(), words.size(), &need);
    words.resize(need > 0 ? need - 1 : 0);
    return error(status, words);
  }

 private:
  paring_status status_ = PARING_OK;
#ifdef PARING_NO_EXCEPTIONS
  std::string message_;
#endif
};

#ifdef PARING_NO_EXCEPTIONS
// A value or an error.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : value_(std::make_unique<T>(std::move(value))) {}
  result(paring::error error) : error_(std::move(error)) {}
  explicit operator bool() const noexcept { return value_ != nullptr; }
  const paring::error& error() const noexcept { return error_; }
  // The value, which must be there.
  T& operator*() & noexcept { return *value_; }
  T&& operator*() && noexcept { return std::move(*value_); }
  T* operator->() noexcept { return value_.get(); }

 private:
  std::unique_ptr<T> value_;
  paring::error error_;
};

// Nothing, or an error.
template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(paring::error error) : error_(std::move(error)) {}
  explicit operator bool() const noexcept { return error_.status() == PARING_OK; }
  const paring::error& error() const noexcept { return error_; }

 private:
  paring::error error_;
};

template <class T>
using returns = result<T>;
#else
// What a function that can fail returns.
template <class T>
using returns = T;
#endif

namespace detail {

#ifdef PARING_NO_EXCEPTIONS
inline result<void> check(paring_status status) {
  if (status != PARING_OK) return error::last(status);
  return {};
}
template <class T>
result<T> fail(error e) { return result<T>(std::move(e)); }
#else
inline void check(paring_status status) {
  if (status != PARING_OK) throw error::last(status);
}
template <class T>
[[noreturn]] T fail(error e) { throw e; }
#endif

// `make()` where a call went well.
template <class T, class Make>
returns<T> give(paring_status status, Make make) {
  if (status != PARING_OK) return fail<T>(error::last(status));
  return make();
}

// A string that `copy(buf, cap, need)` copies.
template <class Copy>
returns<std::string> text(Copy copy) {
  std::size_t need = 0;
  paring_status status = copy(nullptr, 0, &need);
  if (status != PARING_OK) return fail<std::string>(error::last(status));
  std::string out(need, '\0');
  return give<std::string>(copy(out.data(), out.size(), &need), [&] {
    out.resize(need > 0 ? need - 1 : 0);
    return std::move(out);
  });
}

template <auto free>
struct deleter {
  template <class T>
  void operator()(T* handle) const noexcept { free(handle); }
};

}  // namespace detail

// ---- tensors

// Half precision, by its bits.
struct f16 { std::uint16_t bits; };
// The upper half of a float, by its bits.
struct bf16 { std::uint16_t bits; };

// The element type that stands for a C++ type.
template <class T> struct dtype_of;
template <> struct dtype_of<float> { static constexpr paring_dtype value = PARING_F32; };
template <> struct dtype_of<f16> { static constexpr paring_dtype value = PARING_F16; };
template <> struct dtype_of<bf16> { static constexpr paring_dtype value = PARING_BF16; };
template <> struct dtype_of<double> { static constexpr paring_dtype value = PARING_F64; };
template <> struct dtype_of<std::int8_t> { static constexpr paring_dtype value = PARING_I8; };
template <> struct dtype_of<std::uint8_t> { static constexpr paring_dtype value = PARING_U8; };
template <> struct dtype_of<std::int16_t> { static constexpr paring_dtype value = PARING_I16; };
template <> struct dtype_of<std::uint16_t> { static constexpr paring_dtype value = PARING_U16; };
template <> struct dtype_of<std::int32_t> { static constexpr paring_dtype value = PARING_I32; };
template <> struct dtype_of<std::uint32_t> { static constexpr paring_dtype value = PARING_U32; };
template <> struct dtype_of<std::int64_t> { static constexpr paring_dtype value = PARING_I64; };
template <> struct dtype_of<std::uint64_t> { static constexpr paring_dtype value = PARING_U64; };
template <> struct dtype_of<bool> { static constexpr paring_dtype value = PARING_BOOL; };

// Elements in a row that somebody else owns.
template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
  // Of whatever has data() and size(), such as std::vector and std::array.
  template <class C, class = std::enable_if_t<std::is_convertible_v<decltype(std::declval<C&>().data()), T*>>>
  constexpr span(C&& c) noexcept : data_(c.data()), size_(c.size()) {}
  template <std::size_t N>
  constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T* begin() const noexcept { return data_; }
  constexpr T* end() const noexcept { return data_ + size_; }
  constexpr T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Dimensions.
class dims {
 public:
  dims(std::initializer_list<std::int64_t> list) noexcept : span_(list.begin(), list.size()) {}
  dims(span<const std::int64_t> span) noexcept : span_(span) {}
  const std::int64_t* data() const noexcept { return span_.data(); }
  std::int32_t rank() const noexcept { return static_cast<std::int32_t>(span_.size()); }

 private:
  span<const std::int64_t> span_;
};

// The dimensions of a tensor.
inline span<const std::int64_t> shape(const paring_tensor& t) noexcept {
  return {t.dims, t.rank > 0 ? static_cast<std::size_t>(t.rank) : 0};
}

// The elements of a tensor, which must be of type T.
template <class T>
returns<span<T>> elements(const paring_tensor& t) {
  if (t.dtype != dtype_of<std::remove_const_t<T>>::value)
    return detail::fail<span<T>>(error(PARING_INVALID_ARGUMENT, "the tensor holds elements of another type"));
  return span<T>(static_cast<T*>(t.data), t.bytes / sizeof(T));
}

// A tensor of these elements.
template <class T>
paring_tensor tensor(span<T> data, const dims& shape) noexcept {
  using element = std::remove_const_t<T>;
  return {const_cast<element*>(data.data()), data.size() * sizeof(T), shape.data(), shape.rank(),
          dtype_of<element>::value};
}

// An input or output of a model.
struct io_info {
  std::string name;
  paring_dtype dtype = 0;
  // -1 for a dimension that the model leaves open.
  std::vector<std::int64_t> dims;
  // Whether the model leaves even the rank open.
  bool any_rank = false;
};

// ---- handles

class custom_operator;

class options {
 public:
  static returns<options> make() {
    paring_options* handle;
    paring_status status = paring_options_new(&handle);
    return detail::give<options>(status, [&] { return options(handle); });
  }
  paring_options* get() const noexcept { return handle_.get(); }

  returns<void> set(const char* key, const char* value) { return detail::check(paring_options_set(get(), key, value)); }
  returns<void> set(const char* key, const std::string& value) { return set(key, value.c_str()); }
  // `limits.struct_size` is filled in.
  returns<void> set_limits(paring_limits limits) {
    limits.struct_size = sizeof limits;
    return detail::check(paring_options_set_limits(get(), &limits));
  }
  // Adds an operator of the program's.
  returns<void> add(std::unique_ptr<custom_operator> op);

 private:
  explicit options(paring_options* handle) noexcept : handle_(handle) {}
  std::unique_ptr<paring_options, detail::deleter<paring_options_free>> handle_;
};

class model {
 public:
  static returns<model> load_file(const char* path, const options* o = nullptr) {
    return load([&](paring_model** out) { return paring_model_load_file(path, handle(o), out); });
  }
  static returns<model> load_file(const std::string& path, const options* o = nullptr) {
    return load_file(path.c_str(), o);
  }
  // Copies the bytes.
  static returns<model> load_bytes(const void* data, std::size_t size, const options* o = nullptr) {
    return load([&](paring_model** out) { return paring_model_load_bytes(data, size, handle(o), out); });
  }
  // The bytes must stay as they are until the model and all sessions of it are gone.
  static returns<model> load_borrowed(const void* data, std::size_t size, const options* o = nullptr) {
    return load([&](paring_model** out) { return paring_model_load_borrowed(data, size, handle(o), out); });
  }
  paring_model* get() const noexcept { return handle_.get(); }

  returns<std::vector<io_info>> inputs() const { return ports(PARING_INPUT); }
  returns<std::vector<io_info>> outputs() const { return ports(PARING_OUTPUT); }
  returns<std::size_t> input_index(const char* name) const { return index(PARING_INPUT, name); }
  returns<std::size_t> output_index(const char* name) const { return index(PARING_OUTPUT, name); }
  returns<std::string> metadata(const char* key) const {
    return detail::text([&](char* buf, std::size_t cap, std::size_t* need) {
      return paring_model_metadata(get(), key, buf, cap, need);
    });
  }

 private:
  explicit model(paring_model* handle) noexcept : handle_(handle) {}
  static const paring_options* handle(const options* o) noexcept { return o ? o->get() : nullptr; }

  template <class Load>
  static returns<model> load(Load call) {
    paring_model* handle;
    paring_status status = call(&handle);
    return detail::give<model>(status, [&] { return model(handle); });
  }

  returns<std::vector<io_info>> ports(paring_direction direction) const {
    using list = std::vector<io_info>;
    std::size_t count = 0;
    paring_status status = paring_model_io_count(get(), direction, &count);
    list out;
    for (std::size_t i = 0; i < count && status == PARING_OK; i++) {
      paring_tensor_info info;
      status = paring_model_io_info(get(), direction, i, &info);
      if (status != PARING_OK) break;
      std::vector<std::int64_t> dims(info.dims, info.dims + (info.rank > 0 ? info.rank : 0));
      out.push_back({info.name, info.dtype, std::move(dims), info.rank < 0});
    }
    return detail::give<list>(status, [&] { return std::move(out); });
  }

  returns<std::size_t> index(paring_direction direction, const char* name) const {
    std::size_t at;
    paring_status status = paring_model_io_index(get(), direction, name, &at);
    return detail::give<std::size_t>(status, [&] { return at; });
  }

  std::unique_ptr<paring_model, detail::deleter<paring_model_free>> handle_;
};

class session {
 public:
  static returns<session> make(const model& m, const options* o = nullptr) {
    paring_session* handle;
    paring_status status = paring_session_new(m.get(), o ? o->get() : nullptr, &handle);
    return detail::give<session>(status, [&] { return session(handle); });
  }
  paring_session* get() const noexcept { return handle_.get(); }

  returns<void> resize(std::size_t input, const dims& shape) {
    return detail::check(paring_session_resize(get(), input, shape.data(), shape.rank()));
  }
  // Copies elements into an input.
  template <class T>
  returns<void> set_input(std::size_t input, span<const T> data, const dims& shape) {
    paring_tensor t = tensor(data, shape);
    return detail::check(paring_session_set_input(get(), input, &t));
  }
  // The session's own memory of an input, to write to; valid until that is resized.
  template <class T>
  returns<span<T>> input(std::size_t input) {
    paring_tensor view;
    paring_status status = paring_session_input(get(), input, &view);
    if (status != PARING_OK) return detail::fail<span<T>>(error::last(status));
    return elements<T>(view);
  }
  returns<void> run() { return detail::check(paring_session_run(get())); }
  returns<void> warmup() { return detail::check(paring_warmup(get())); }
  // A result, valid until the next run, resize or binding of memory.
  returns<paring_tensor> output(std::size_t output) const {
    paring_tensor view;
    paring_status status = paring_session_output(get(), output, &view);
    return detail::give<paring_tensor>(status, [&] { return view; });
  }
  // The elements of a result, for as long.
  template <class T>
  returns<span<const T>> output(std::size_t output) const {
    paring_tensor view;
    paring_status status = paring_session_output(get(), output, &view);
    if (status != PARING_OK) return detail::fail<span<const T>>(error::last(status));
    return elements<const T>(view);
  }
  // Has results of an output written to `data`, which must outlive the session.
  template <class T>
  returns<void> bind_output(std::size_t output, span<T> data) {
    paring_tensor t = {data.data(), data.size() * sizeof(T), nullptr, 0, dtype_of<T>::value};
    return detail::check(paring_session_bind_output(get(), output, &t));
  }
  // Has the session run on this working memory, which must outlive it.
  returns<void> bind_arena(void* data, std::size_t size) {
    return detail::check(paring_session_bind_arena(get(), data, size));
  }
  // Bytes of working memory.
  returns<std::size_t> arena_bytes() const {
    std::size_t bytes;
    paring_status status = paring_session_memory(get(), &bytes, nullptr);
    return detail::give<std::size_t>(status, [&] { return bytes; });
  }
  // From any thread.
  returns<void> cancel() const { return detail::check(paring_session_cancel(get())); }
  returns<std::string> profile_json() const {
    return detail::text([&](char* buf, std::size_t cap, std::size_t* need) {
      return paring_session_profile_json(get(), buf, cap, need);
    });
  }

 private:
  explicit session(paring_session* handle) noexcept : handle_(handle) {}
  std::unique_ptr<paring_session, detail::deleter<paring_session_free>> handle_;
};

// ---- operators

// An operator that the library does not know. Functions return PARING_OK, or another status of their choice after
// paring_callback_error; what they throw becomes PARING_CALLBACK with its words.
class custom_operator {
 public:
  // One node with known shapes, prepared. Shared by all sessions with these, so that it may run on several threads at
  // once.
  class prepared {
   public:
    virtual ~prepared() = default;
    virtual paring_status run(const paring_run& run) const = 0;
  };

  custom_operator(std::string domain, std::string op, std::int64_t version = 0)
      : domain_(std::move(domain)), op_(std::move(op)), version_(version) {}
  virtual ~custom_operator() = default;

  virtual paring_status infer(const paring_node& node, paring_shape* outputs) const = 0;
  virtual paring_status scratch(const paring_node& node, std::size_t& bytes) const {
    (void)node, (void)bytes;
    return PARING_OK;
  }
  virtual paring_status prepare(const paring_node& node, std::unique_ptr<prepared>& out) const = 0;

 private:
  friend class options;
  std::string domain_, op_;
  std::int64_t version_;

  template <class F>
  static paring_status guarded(F f) noexcept {
#ifdef PARING_NO_EXCEPTIONS
    return f();
#else
    try {
      return f();
    } catch (const std::exception& e) {
      paring_callback_error(e.what());
    } catch (...) {
      paring_callback_error("something was thrown that is no std::exception");
    }
    return PARING_CALLBACK;
#endif
  }
  static const custom_operator& of(void* ctx) noexcept { return *static_cast<custom_operator*>(ctx); }

  paring_kernel kernel() noexcept {
    paring_kernel k = {};
    k.struct_size = sizeof k;
    k.domain = domain_.c_str();
    k.op = op_.c_str();
    k.version = version_;
    k.infer = [](void* ctx, const paring_node* node, paring_shape* outputs) {
      return guarded([&] { return of(ctx).infer(*node, outputs); });
    };
    k.scratch = [](void* ctx, const paring_node* node, std::size_t* bytes) {
      return guarded([&] { return of(ctx).scratch(*node, *bytes); });
    };
    k.prepare = [](void* ctx, const paring_node* node, void** state) {
      return guarded([&] {
        std::unique_ptr<prepared> out;
        paring_status status = of(ctx).prepare(*node, out);
        if (status != PARING_OK) return status;
        if (!out) {
          paring_callback_error("nothing was prepared");
          return paring_status{PARING_CALLBACK};
        }
        *state = out.release();
        return status;
      });
    };
    k.run = [](void*, void* state, const paring_run* run) {
      return guarded([&] { return static_cast<prepared*>(state)->run(*run); });
    };
    k.release = [](void*, void* state) { delete static_cast<prepared*>(state); };
    k.drop = [](void* ctx) { delete static_cast<custom_operator*>(ctx); };
    k.ctx = this;
    return k;
  }
};

inline returns<void> options::add(std::unique_ptr<custom_operator> op) {
  if (!op) return detail::check(paring_kernel_register(get(), nullptr));
  paring_kernel kernel = op->kernel();
  paring_status status = paring_kernel_register(get(), &kernel);
  // From here on the library deletes it.
  if (status == PARING_OK) (void)op.release();
  return detail::check(status);
}

}  // namespace paring

#endif
