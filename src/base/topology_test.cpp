#include "base/topology.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace paro {
namespace {

/// A folder that stands for the root of a file system.
class Topology : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / ("paro_topology_" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << '\n';
  }
  std::string root() const { return root_.string(); }

  std::filesystem::path root_;
};

TEST(Cores, AffinityBoundsThem) {
  const int all = physical_cores();
  EXPECT_GE(all, 1);
  EXPECT_GE(logical_processors(), all);
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(physical_cores(), 1);
  EXPECT_EQ(logical_processors(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(physical_cores(), all);
}

TEST_F(Topology, NoGroupsNoLimit) {
  EXPECT_EQ(cgroup_cores(root()), 0.0);
  write("proc/self/cgroup", "0::/a");
  EXPECT_EQ(cgroup_cores(root()), 0.0);
  write("sys/fs/cgroup/a/cpu.max", "max 100000");
  EXPECT_EQ(cgroup_cores(root()), 0.0);
}

TEST_F(Topology, TheLeastQuotaOfAGroupAndItsParentsCounts) {
  write("proc/self/cgroup", "0::/a/b/c");
  write("sys/fs/cgroup/a/b/c/cpu.max", "max 100000");
  write("sys/fs/cgroup/a/b/cpu.max", "400000 100000");
  write("sys/fs/cgroup/a/cpu.max", "75000 50000");
  EXPECT_EQ(cgroup_cores(root()), 1.5);
}

TEST_F(Topology, ContainersSeeTheirOwnGroupAsTheRoot) {
  write("proc/self/cgroup", "0::/docker/0123");
  write("sys/fs/cgroup/cpu.max", "200000 100000");
  EXPECT_EQ(cgroup_cores(root()), 2.0);
}

TEST_F(Topology, VersionOneGroups) {
  write("proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/a\n3:memory:/a\n0::/");
  write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1");
  write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroup_cores(root()), 0.0);
  write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000");
  EXPECT_EQ(cgroup_cores(root()), 0.5);
}

TEST_F(Topology, WhatIsNoQuotaIsNoLimit) {
  write("proc/self/cgroup", "nonsense\n0:\n0::");
  write("sys/fs/cgroup/cpu.max", "12x");
  EXPECT_EQ(cgroup_cores(root()), 0.00012) << "a number and the usual period";
  write("sys/fs/cgroup/cpu.max", "");
  EXPECT_EQ(cgroup_cores(root()), 0.0);
}

TEST_F(Topology, LastLevelCaches) {
  EXPECT_EQ(last_level_cache_bytes(root()), int64_t{32} << 20);
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ASSERT_EQ(::sched_getaffinity(0, sizeof(mask), &mask), 0);
  int64_t halves[2] = {};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    const std::string cache = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/";
    write(cache + "index0/level", "1");
    write(cache + "index0/size", "48K");
    write(cache + "index1/level", "3");
    write(cache + "index1/size", "8192K");
    write(cache + "index1/shared_cpu_list", cpu % 2 == 0 ? "even" : "odd");
    halves[cpu % 2] = int64_t{8} << 20;
  }
  EXPECT_EQ(last_level_cache_bytes(root()), halves[0] + halves[1]) << "each once";
}

TEST(LastLevelCache, OfThisMachine) { EXPECT_GE(last_level_cache_bytes(), 64 << 10); }

}  // namespace
}  // namespace paro
