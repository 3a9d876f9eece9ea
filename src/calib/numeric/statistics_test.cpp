#include "calib/numeric/statistics.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

TEST(Statistics, MomentsOfSeveralBatches) {
  ThreadPool pool(2);
  const int64_t in = 7, cross = 3, batches = 3, rows = 11;
  Random random(5);
  Statistics statistics(in, cross, pool);
  std::vector<double> h(in * in), c(cross * in);
  for (int64_t batch = 0; batch < batches; ++batch) {
    std::vector<float> x(rows * in), y(rows * cross);
    for (float& v : x) v = static_cast<float>(random.normal());
    for (float& v : y) v = static_cast<float>(random.normal());
    statistics.add(x.data(), y.data(), rows);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < in; ++j) {
        for (int64_t i = 0; i < in; ++i) h[i * in + j] += double(x[r * in + i]) * x[r * in + j] / (batches * rows);
        for (int64_t i = 0; i < cross; ++i)
          c[i * in + j] += double(y[r * cross + i]) * x[r * in + j] / (batches * rows);
      }
  }
  const SquareMatrix found = statistics.second_moment("t");
  for (size_t i = 0; i < h.size(); ++i) EXPECT_NEAR(found.data[i], h[i], 1e-6);
  const std::vector<double> cross_found = statistics.cross_moment("t");
  for (size_t i = 0; i < c.size(); ++i) EXPECT_NEAR(cross_found[i], c[i], 1e-6);
}

TEST(Statistics, InfiniteActivationsAreNamed) {
  ThreadPool pool(2);
  Statistics statistics(2, 0, pool);
  const float x[] = {1.0f, std::numeric_limits<float>::infinity()};
  statistics.add(x, nullptr, 1);
  try {
    statistics.second_moment("layer 3");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find("layer 3"), std::string::npos);
  }
}

}  // namespace
}  // namespace paro::calib
