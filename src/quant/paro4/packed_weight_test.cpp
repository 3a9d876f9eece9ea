#include "quant/paro4/packed_weight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/test_folder.h"
#include "kernels/rotate/test_rotation.h"
#include "kernels/test_variants.h"
#include "quant/paro4/rtn.h"
#include "quant/test_source.h"

namespace paro {
namespace {

bool equal(const AlignedBuffer& a, const AlignedBuffer& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size())) == 0;
}

// Straight from the words gives the bytes that the form in between gives.
TEST(ReadPackedParo4, IsThePackedFormOfReadParo4) {
  ThreadPool pool(3);
  for (const auto& [out, in, group] :
       {std::tuple<int64_t, int64_t, int64_t>{8, 32, 32}, {16, 64, 64}, {24, 96, 32}, {40, 256, 128}, {200, 384, 64}}) {
    RandomRotation r = random_rotation(in, group, 2, 5, true);
    const auto rotation =
        std::make_shared<PairRotation>(PairRotation{in, group, 2, r.theta, r.pairs, r.channel_scales});
    Paro4Weight weight = quantize_rtn(random_floats(out * in, 1).data(), out, in, group, rotation);
    weight.bias = random_floats(out, 3);
    MemorySource source;
    source.add(paro4_tensors("x", weight));
    const PackedParo4 expected = pack_paro4(read_paro4(source, "x", out, in, true));
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      const PackedParo4 found = read_packed_paro4(source, "x", out, in, true, {.pool = threads});
      EXPECT_EQ(found.weight.in, in);
      EXPECT_EQ(found.weight.out, out);
      EXPECT_EQ(found.weight.group_size, group);
      EXPECT_TRUE(equal(found.weight.codes, expected.weight.codes)) << out << " x " << in;
      EXPECT_TRUE(equal(found.weight.meta, expected.weight.meta)) << out << " x " << in;
      EXPECT_EQ(*found.rotation, *expected.rotation);
      EXPECT_EQ(found.bias, expected.bias);
    }
  }
}

// What the cache gives back is what was given to it, and such a linear computes the same.
TEST(ReadPackedParo4, ComesBackFromThePreparedCache) {
  const int64_t out = 40, in = 256;
  RandomRotation r = random_rotation(in, 128, 2, 5, true);
  const auto rotation = std::make_shared<PairRotation>(PairRotation{in, 128, 2, r.theta, r.pairs, r.channel_scales});
  MemorySource source;
  source.add(paro4_tensors("x", quantize_rtn(random_floats(out * in, 1).data(), out, in, 128, rotation)));
  const auto head = make_dense_linear(random_floats(out * in, 2), out, in, {});
  head->name = "head";
  const TestFolder folder;
  PreparedOptions options;
  options.folder = folder.path();
  options.min_bytes = 0;
  const std::string key(32, 'a');
  ThreadPool pool(2);
  const PackedParo4 made = read_packed_paro4(source, "x", out, in, false);
  const auto rounded = rounded_to_int8(*head, pool);
  const auto rounded4 = rounded_to_int4(*head, pool);
  for (const bool mapped : {false, true}) {
    // Declared before the cache: they stay until the file is written.
    PackedParo4 found;
    std::unique_ptr<CpuLinear> found_head;
    std::unique_ptr<CpuLinear> found_head4;
    PreparedCache cache(options, key, kPackedInt4Layout);
    found = read_packed_paro4(source, "x", out, in, false, {&pool, &cache});
    found_head = rounded_to_int8(*head, pool, &cache);
    found_head4 = rounded_to_int4(*head, pool, &cache);
    EXPECT_EQ(cache.owner() != nullptr, mapped);
    EXPECT_TRUE(equal(found.weight.codes, made.weight.codes));
    EXPECT_TRUE(equal(found.weight.meta, made.weight.meta));
    EXPECT_EQ(*found.rotation, *made.rotation);
    EXPECT_EQ(found_head->dequantize(), rounded->dequantize());
    EXPECT_EQ(found_head4->dequantize(), rounded4->dequantize());
    cache.save();
  }
}

// A buffer of several huge pages is zero, aligned, and as long as it says.
TEST(AlignedBuffer, LargeOnesAreZeroAndAligned) {
  for (const int64_t bytes : {int64_t{100}, int64_t{2} << 20, (int64_t{5} << 20) + 4160}) {
    AlignedBuffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    uint8_t any = 0;
    for (int64_t i = 0; i < bytes; ++i) any = static_cast<uint8_t>(any | buffer.data()[i]);
    EXPECT_EQ(any, 0);
    std::memset(buffer.data(), 7, static_cast<size_t>(bytes));
    const AlignedBuffer moved = std::move(buffer);
    EXPECT_EQ(moved.data()[bytes - 1], 7);
  }
}

}  // namespace
}  // namespace paro
