#include "calib/allocate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

constexpr int64_t kWidths[] = {2, 3, 4, 8};

std::vector<AllocationItem> items_of(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<AllocationItem> items;
  for (int64_t i = 0; i < count; ++i) {
    AllocationItem item{"x" + std::to_string(i), 1000, {}};
    const double scale = 0.1 + static_cast<double>(random.below(1000));
    for (const int64_t bits : kWidths) item.loss[bits] = scale * std::pow(4.0, static_cast<double>(-bits));
    items.push_back(item);
  }
  return items;
}

double total(const std::vector<AllocationItem>& items, const std::map<std::string, int64_t>& bits) {
  double sum = 0.0;
  for (const AllocationItem& item : items) sum += item.loss.at(bits.at(item.name));
  return sum;
}

// Of all 4^6 allocations none within the same bits has less loss; the greedy steps may leave less than one step
// unspent.
TEST(Allocate, IsTheBestOfAllAllocationsOfItsSize) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const std::vector<AllocationItem> items = items_of(6, seed);
    for (const double target : {2.6, 3.4, 4.4, 6.0}) {
      const auto found = allocate_bits(items, target, 64, {});
      const double spent = average_bits(items, found, 64, {});
      EXPECT_LE(spent, target);
      double best = std::numeric_limits<double>::infinity();
      for (int64_t code = 0; code < 4096; ++code) {
        std::map<std::string, int64_t> tried;
        for (size_t i = 0; i < 6; ++i) tried[items[i].name] = kWidths[(code >> (2 * i)) & 3];
        if (average_bits(items, tried, 64, {}) <= spent * (1 + 1e-9)) best = std::min(best, total(items, tried));
      }
      // Equal but where a step that did not fit was passed over for a smaller one.
      EXPECT_LE(total(items, found), best * 1.25) << seed << " " << target;
    }
  }
}

TEST(Allocate, EqualLossesGetEqualBitsAndFixedOnesCount) {
  std::vector<AllocationItem> items = items_of(4, 1);
  for (AllocationItem& item : items) item.loss = {{2, 16.0}, {3, 4.0}, {4, 1.0}, {8, 0.0}};
  EXPECT_NEAR(bits_per_weight(4, 64), 4.3125, 1e-12);
  for (const auto& [name, bits] : allocate_bits(items, 4.3125, 64, {})) EXPECT_EQ(bits, 4);
  // As many weights again at 2 bits less leave room for more.
  const FixedBits fixed = {4000.0, 4000.0 * 2.3125};
  const auto found = allocate_bits(items, 4.3125, 64, fixed);
  EXPECT_LE(average_bits(items, found, 64, fixed), 4.3125);
  EXPECT_GT(average_bits(items, found, 64, {}), 4.3125);
  // A width that helps nobody is not taken.
  for (AllocationItem& item : items) item.loss = {{3, 1.0}, {4, 2.0}, {8, 0.5}};
  for (const auto& [name, bits] : allocate_bits(items, 5.0, 64, {})) EXPECT_NE(bits, 4);
}

TEST(Allocate, BudgetsOutsideTheWidthsAreRefused) {
  const std::vector<AllocationItem> items = items_of(3, 1);
  for (const double target : {2.0, 9.0, std::nan("")}) {
    try {
      allocate_bits(items, target, 64, {});
      ADD_FAILURE() << target;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), testing::HasSubstr("expected 2.282 to 8.375 bits"));
    }
  }
}

}  // namespace
}  // namespace paro::calib
