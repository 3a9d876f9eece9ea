#include "quant/paro4/packed_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "base/error.h"
#include "quant/paro4/packing.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

// Inputs of one range: in multiples of what pack_tiles takes together.
constexpr int64_t kRangeInputs = 64;

int64_t code_bytes(const PackedInt4& packed) { return packed.tiles() * packed.in * kInt4Tile / 2; }
int64_t meta_bytes(const PackedInt4& packed) { return packed.tiles() * packed.groups() * kInt4MetaBytes; }

std::span<const std::byte> bytes_of(const AlignedBuffer& buffer) {
  return std::as_bytes(std::span(buffer.data(), static_cast<size_t>(buffer.size())));
}

template <typename Body>
void parallel(ThreadPool* pool, int64_t count, int64_t grain, const Body& body) {
  if (pool != nullptr)
    pool->parallel_for(count, grain, body);
  else
    body(int64_t{0}, count);
}

// The groups of the checkpoint, `stored` of them, to the meta of tiles [begin, end), the same for each of the groups
// that a stored one is cut into.
void pack_meta(const Int4Groups& from, int64_t stored, PackedInt4& packed, int64_t begin, int64_t end) {
  const uint16_t* scales = from.scales.data();
  const auto* zeros = reinterpret_cast<const std::byte*>(from.zeros.data());
  const int64_t parts = packed.groups() / stored;
  const int64_t out = packed.out;
  for (int64_t g = 0; g < stored; ++g) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kInt4Tile;
      const int64_t outputs = std::min(kInt4Tile, out - first);
      uint8_t* at = packed.meta.data() + (tile * stored + g) * parts * kInt4MetaBytes;
      std::memcpy(at, scales + g * out + first, static_cast<size_t>(outputs) * 2);
      uint32_t words[2] = {};
      std::memcpy(words, zeros + (g * out + first) / 2, static_cast<size_t>(outputs) / 2);
      for (int p = 0; p < 8; ++p)
        at[32 + kNibbleColumn[p]] =
            static_cast<uint8_t>(((words[0] >> (4 * p)) & 15u) | (((words[1] >> (4 * p)) & 15u) << 4));
      for (int64_t part = 1; part < parts; ++part) std::memcpy(at + part * kInt4MetaBytes, at, kInt4MetaBytes);
    }
  }
}

}  // namespace

int64_t kernel_group(int64_t file_group) {
  if (file_group == 32 || file_group == 64 || file_group == 128) return file_group;
  return file_group % 64 == 0 ? 64 : 32;
}

PackedInt4 make_packed_int4(int64_t out, int64_t in, int64_t file_group, const Int4Making& making,
                            const LoadHelp& help) {
  PackedInt4 packed;
  packed.in = in;
  packed.out = out;
  packed.group_size = kernel_group(file_group);
  PARO_CHECK(file_group % packed.group_size == 0 && in % file_group == 0 && out % 8 == 0);
  if (find_packed(help.prepared, making.codes_name, making.groups_name, packed)) return packed;
  const Int4Groups groups = making.groups();
  allocate_packed(packed);
  parallel(help.pool, in, kRangeInputs,
           [&](int64_t begin, int64_t end) { making.pack_codes(begin, end, packed.codes.data()); });
  parallel(help.pool, packed.tiles(), 16,
           [&](int64_t begin, int64_t end) { pack_meta(groups, in / file_group, packed, begin, end); });
  keep_packed(help.prepared, making.codes_name, making.groups_name, packed);
  return packed;
}

PackedInt4 pack_public_words(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in,
                             const LoadedTensor& words, int64_t file_group, const LoadHelp& help) {
  const int64_t groups = in / file_group;
  const auto make_groups = [&] {
    Int4Groups made{to_f16(load_floats(source, names.scales, {groups, out})), {}};
    const LoadedTensor zeros = load_typed(source, names.zeros, DType::kI32, {groups, out / 8});
    made.zeros.resize(static_cast<size_t>(zeros.view.elements()));
    std::memcpy(made.zeros.data(), zeros.view.data, made.zeros.size() * sizeof(uint32_t));
    source.will_read(names.qweight);
    return made;
  };
  const auto pack_codes = [&](int64_t begin, int64_t end, uint8_t* codes) {
    pack_tiles(words.view.data, in, out, begin, end, codes);
  };
  return make_packed_int4(out, in, file_group, {names.qweight, names.scales, make_groups, pack_codes}, help);
}

void allocate_packed(PackedInt4& packed) {
  packed.codes = AlignedBuffer(code_bytes(packed));
  packed.meta = AlignedBuffer(meta_bytes(packed));
}

bool find_packed(const PreparedCache* prepared, const std::string& codes, const std::string& meta, PackedInt4& packed) {
  if (prepared == nullptr) return false;
  const std::span<const std::byte> found_codes = prepared->find(codes, code_bytes(packed));
  const std::span<const std::byte> found_meta = prepared->find(meta, meta_bytes(packed));
  if (found_codes.empty() || found_meta.empty()) return false;
  const auto mapped = [&](std::span<const std::byte> bytes) {
    return AlignedBuffer(prepared->owner(), reinterpret_cast<const uint8_t*>(bytes.data()),
                         static_cast<int64_t>(bytes.size()));
  };
  packed.codes = mapped(found_codes);
  packed.meta = mapped(found_meta);
  return true;
}

void keep_packed(PreparedCache* prepared, const std::string& codes, const std::string& meta, const PackedInt4& packed) {
  if (prepared == nullptr) return;
  prepared->add(codes, bytes_of(packed.codes));
  prepared->add(meta, bytes_of(packed.meta));
}

PackedParo4 read_packed_paro4(const WeightSource& source, const std::string& name, int64_t out, int64_t in, bool bias,
                              const LoadHelp& help) {
  const Paro4Names names = paro4_names(source, name);
  PackedParo4 result;
  if (names.older) {
    result = pack_paro4(read_paro4(source, name, out, in, bias), help.pool);
  } else {
    const LoadedTensor words = load_paro4_words(source, names, out, in);
    const int64_t group = read_group_size(source, names, out, in);
    result.weight = pack_public_words(source, names, out, in, words, group, help);
    result.rotation = read_rotation(source, names, in, group);
    result.bias = read_paro4_bias(source, names, out, bias);
  }
  for (const std::string& read : {names.qweight, names.zeros, names.scales, names.theta, names.pairs})
    source.was_read(read);
  return result;
}

uint16_t upper_scale(float scale, const std::string& place) {
  const uint16_t upper = f32_to_f16(16.0f * scale);
  if (!std::isfinite(f16_to_f32(upper)))
    fail_input("{}: a scale of 8-bit codes: expected up to 4094, found {}", place, scale);
  return upper;
}

PackedParo4 pack_paro4(const Paro4Weight& weight, ThreadPool* pool) {
  const auto pack = [&](const std::vector<uint8_t>& codes, const std::vector<uint8_t>& zeros,
                        const std::vector<float>& scales) {
    return pack_int4(codes.data(), zeros.data(), scales.data(), weight.out, weight.in, weight.group_size, pool);
  };
  PackedParo4 packed;
  packed.rotation = weight.rotation;
  packed.bias = weight.bias;
  packed.order = weight.order;
  if (weight.bits <= 4) {
    packed.weight = pack(weight.codes, weight.zeros, weight.scales);
    return packed;
  }
  const auto half = [](const std::vector<uint8_t>& from, int shift) {
    std::vector<uint8_t> result(from.size());
    std::transform(from.begin(), from.end(), result.begin(),
                   [shift](uint8_t v) { return static_cast<uint8_t>((v >> shift) & 15); });
    return result;
  };
  std::vector<float> upper(weight.scales.size());
  std::transform(weight.scales.begin(), weight.scales.end(), upper.begin(),
                 [](float s) { return f16_to_f32(upper_scale(s, "a weight")); });
  packed.weight = pack(half(weight.codes, 4), half(weight.zeros, 4), upper);
  packed.low = pack(half(weight.codes, 0), half(weight.zeros, 0), weight.scales);
  return packed;
}

Paro4Weight unpack_paro4(const PackedParo4& packed) {
  Paro4Weight weight;
  weight.in = packed.weight.in;
  weight.out = packed.weight.out;
  weight.group_size = packed.weight.group_size;
  weight.rotation = packed.rotation;
  weight.bias = packed.bias;
  weight.order = packed.order;
  unpack_int4(packed.weight, weight.codes, weight.zeros, weight.scales);
  if (!packed.low) return weight;
  weight.bits = 8;
  std::vector<uint8_t> codes, zeros;
  unpack_int4(*packed.low, codes, zeros, weight.scales);
  const auto join = [](std::vector<uint8_t>& upper, const std::vector<uint8_t>& lower) {
    for (size_t i = 0; i < upper.size(); ++i) upper[i] = static_cast<uint8_t>(upper[i] << 4 | lower[i]);
  };
  join(weight.codes, codes);
  join(weight.zeros, zeros);
  return weight;
}

}  // namespace paro
