// `--target-bits`: which linear gets how many bits under a budget. Arithmetic alone; the errors come from
// sensitivity.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace paro::calib {

/// A linear with the widths it may get. `loss`: what each width costs, in any unit that adds up over linears.
struct AllocationItem {
  std::string name;
  int64_t weights = 0;
  std::map<int64_t, double> loss;  // by bits
};

/// Bits of a weight with its share of scales (16 bits a group) and zero points (b bits a group).
double bits_per_weight(int64_t bits, int64_t group_size);

/// Tables and linears whose width is given: they count, and stay.
struct FixedBits {
  double weights = 0.0;
  double bits = 0.0;  // of all of them
};

/// The widths, by name, whose bits over all weights, `fixed` included, are at most `target`, of about the least loss:
/// from the smallest width up, always the step that takes off most for its bits, until no step fits. Steps run along
/// the lower convex hull of each linear's losses, so that this is the Lagrangian solution but for the last steps.
/// Error{kUsage} naming the range of budgets where even the smallest widths take more than `target`, or the target is
/// more than the largest.
std::map<std::string, int64_t> allocate_bits(const std::vector<AllocationItem>& items, double target,
                                             int64_t group_size, const FixedBits& fixed);

/// Average of an allocation.
double average_bits(const std::vector<AllocationItem>& items, const std::map<std::string, int64_t>& bits,
                    int64_t group_size, const FixedBits& fixed);

}  // namespace paro::calib
