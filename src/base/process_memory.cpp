#include "base/process_memory.h"

#include <sys/resource.h>

#include <fstream>
#include <string>

namespace paro {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  // Lines "VmRSS:     1234 kB".
  for (std::string name; status >> name;) {
    int64_t* field = name == "VmRSS:" ? &memory.resident : name == "VmHWM:" ? &memory.peak : nullptr;
    int64_t kilobytes = 0;
    if (field != nullptr && status >> kilobytes) *field = kilobytes * 1024;
    std::getline(status, name);
  }
  if (memory.peak == 0) {
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    memory.peak = usage.ru_maxrss * int64_t{1024};
  }
  return memory;
}

bool reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return static_cast<bool>(file);
}

}  // namespace paro
