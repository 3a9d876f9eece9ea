#include "calib/mapped_values.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"

namespace paro::calib {

int64_t physical_memory_bytes() { return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE); }

Values map_values(int64_t count, const std::filesystem::path& folder) {
  PARO_CHECK(count > 0);
  const auto bytes = static_cast<size_t>(count) * sizeof(float);
  std::string name = (folder / "states-XXXXXX").string();
  const int fd = ::mkstemp(name.data());
  if (fd < 0) fail_limit("{}: cannot make a file for hidden states: {}", folder.string(), std::strerror(errno));
  // Nobody else needs the name, and whatever happens to this process the file goes with it.
  ::unlink(name.c_str());
  // Not ftruncate: a full disk would only be told by a signal, at some store.
  const int failed = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  void* const data = failed == 0 ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  const int reason = failed != 0 ? failed : errno;
  ::close(fd);
  if (data == MAP_FAILED)
    fail_limit("{}: cannot make a file of {} bytes for hidden states: {}", folder.string(), bytes,
               std::strerror(reason));
  return {static_cast<float*>(data), [bytes](float* values) { ::munmap(values, bytes); }};
}

}  // namespace paro::calib
