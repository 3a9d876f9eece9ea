#include "base/error.h"

namespace paro {

void check_failed(const char* condition, const char* file, int line) {
  throw Error(ErrorKind::kDefect, fmt::format("{}:{}: check failed: {}", file, line, condition));
}

}  // namespace paro
