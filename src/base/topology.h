// The machine as this process may use it: cores, quotas, caches; from sysfs and cgroups.
#pragma once

#include <cstdint>
#include <string>

namespace paro {

/// Physical cores available to this process: those of its affinity mask, fewer where a cgroup's quota of processor time
/// is less (rounded, at least 1).
int physical_cores();
/// The same of logical processors, of which a core may have several.
int logical_processors();

/// Cores' worth of processor time that the cgroups (v1, v2) of this process and their parents allow; 0: no limit.
/// `root` stands before /proc and /sys (tests).
double cgroup_cores(const std::string& root = "");

/// Bytes of all last-level caches of the processors of the affinity mask; where sysfs does not say, 32 MiB.
int64_t last_level_cache_bytes(const std::string& root = "");

}  // namespace paro
