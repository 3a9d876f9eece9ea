#include "model/families/registry.h"

#include "base/error.h"

namespace paro {

extern const Family kLlama;
extern const Family kMistral;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kSmolLm3;

std::span<const Family* const> families() {
  static const Family* const list[] = {
      &kLlama, &kMistral, &kQwen2, &kQwen3, &kSmolLm3,
  };
  return list;
}

const Family& require_family(std::string_view model_type, const std::string& place) {
  std::string supported;
  for (const Family* family : families()) {
    if (family->model_type == model_type) return *family;
    supported += fmt::format("{}{} ({})", supported.empty() ? "" : ", ", family->model_type, family->models);
  }
  fail_input("{}: \"model_type\": \"{}\" is not supported; expected one of: {}", place, model_type, supported);
}

}  // namespace paro
