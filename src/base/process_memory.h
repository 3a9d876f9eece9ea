// Memory of this process as the system counts it.
#pragma once

#include <cstdint>

namespace paro {

struct ProcessMemory {
  int64_t resident = 0;  // bytes now, mapped files included as far as they were read
  int64_t peak = 0;      // the most since the start or since reset_peak_memory()
};
ProcessMemory process_memory();

/// Begins a new peak at what is resident now; false where the system cannot.
bool reset_peak_memory();

}  // namespace paro
