#include "base/topology.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

namespace paro {
namespace {

/// The first line, empty when the file is not there.
std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The number that `text` begins with; `fallback` when there is none.
int64_t number_of(const std::string& text, int64_t fallback) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() ? value : fallback;
}

/// Processors of the affinity mask.
std::vector<int> allowed_processors() {
  std::vector<int> processors;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &mask)) processors.push_back(cpu);
  } else {  // more processors than the mask has room for
    for (unsigned cpu = 0; cpu < std::max(1u, std::thread::hardware_concurrency()); ++cpu)
      processors.push_back(static_cast<int>(cpu));
  }
  return processors;
}

std::string processor_folder(const std::string& root, int cpu) {
  return fmt::format("{}/sys/devices/system/cpu/cpu{}", root, cpu);
}

/// Cores that quota and period (microseconds) of one group are; 0: no limit.
double quota_cores(const std::string& quota, const std::string& period) {
  const int64_t time = number_of(quota, -1);  // "max" and -1: none
  const int64_t of = number_of(period, 100'000);
  return time > 0 && of > 0 ? static_cast<double>(time) / static_cast<double>(of) : 0.0;
}

double group_cores(const std::string& folder, bool v2) {
  if (!v2) return quota_cores(line_of(folder + "/cpu.cfs_quota_us"), line_of(folder + "/cpu.cfs_period_us"));
  const std::string max = line_of(folder + "/cpu.max");
  const size_t space = max.find(' ');
  return quota_cores(max, space == std::string::npos ? "" : max.substr(space + 1));
}

int within_quota(int count) {
  const double limit = cgroup_cores();
  if (limit == 0.0 || limit >= count) return count;
  return std::max(1, static_cast<int>(std::lround(limit)));
}

}  // namespace

double cgroup_cores(const std::string& root) {
  double least = 0.0;
  std::ifstream groups(root + "/proc/self/cgroup");
  // Lines "hierarchy:controllers:path"; v2 has no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string mount = root + (v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu");
    // The group and its parents. Inside a container the path may be the host's, and only its end is mounted.
    std::string path = line.substr(second + 1);
    while (true) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      const double cores = group_cores(mount + path, v2);
      if (cores > 0.0) least = least == 0.0 ? cores : std::min(least, cores);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

int physical_cores() {
  // Two logical processors with the same list of siblings share a core.
  std::set<std::string> cores;
  for (const int cpu : allowed_processors()) {
    const std::string siblings = line_of(processor_folder("", cpu) + "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? std::to_string(cpu) : siblings);
  }
  return within_quota(static_cast<int>(cores.size()));
}

int logical_processors() { return within_quota(static_cast<int>(allowed_processors().size())); }

int64_t last_level_cache_bytes(const std::string& root) {
  std::map<std::string, int64_t> caches;  // by the processors that share one
  for (const int cpu : allowed_processors()) {
    int64_t last = 0;
    std::string shared;
    int64_t bytes = 0;
    for (int index = 0; index < 10; ++index) {
      const std::string folder = fmt::format("{}/cache/index{}", processor_folder(root, cpu), index);
      const int64_t level = number_of(line_of(folder + "/level"), 0);
      if (level <= last) continue;
      const std::string size = line_of(folder + "/size");  // "32768K"
      const int64_t unit = size.ends_with('K') ? 1 << 10 : size.ends_with('M') ? 1 << 20 : 1;
      last = level;
      bytes = number_of(size, 0) * unit;
      shared = line_of(folder + "/shared_cpu_list");
    }
    if (bytes > 0) caches[shared.empty() ? std::to_string(cpu) : shared] = bytes;
  }
  int64_t sum = 0;
  for (const auto& [shared, bytes] : caches) sum += bytes;
  return sum > 0 ? sum : int64_t{32} << 20;
}

}  // namespace paro
