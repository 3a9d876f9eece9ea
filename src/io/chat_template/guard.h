// Bounds the native stack that an evaluation uses, whatever the template nests.
#pragma once

#include "io/chat_template/runtime.h"

namespace paro::jinja {

struct Runtime::DepthGuard {
  explicit DepthGuard(Runtime& runtime) {
    constexpr ptrdiff_t kStack = 1536 * 1024;  // of the 8 MiB that threads have
    const char* here = static_cast<const char*>(__builtin_frame_address(0));
    ptrdiff_t used = runtime.stack_base_ - here;
    if (used > kStack || used < -kStack) runtime.fail_limit("the template nests calls too deeply");
  }
};

}  // namespace paro::jinja
