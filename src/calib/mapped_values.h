// f32 values in a file that the system pages in and out: what is larger than the memory.
#pragma once

#include <filesystem>

#include "calib/device.h"

namespace paro::calib {

/// Zeros, `count` > 0, in a nameless file in `folder`; its space is taken at once. Throws Error{kLimit} naming the
/// folder when that is not there.
Values map_values(int64_t count, const std::filesystem::path& folder);

int64_t physical_memory_bytes();

}  // namespace paro::calib
