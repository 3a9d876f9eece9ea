#include "quant/paro4/stream_weight.h"

#include "base/dtype.h"
#include "base/error.h"
#include "quant/paro4/bit_streams.h"
#include "quant/paro4/packing.h"
#include "quant/paro4/write_tensors.h"

namespace paro {
namespace {

std::vector<uint8_t> read_zeros(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in,
                                const StreamWeight& weight, bool zeros_minus_one) {
  const int64_t groups = in / weight.group;
  const int64_t width = out * weight.bits / 32;
  const LoadedTensor words = load_typed(source, names.zeros, DType::kI32, {groups, width});
  const auto mask = static_cast<uint8_t>((1 << weight.bits) - 1);
  std::vector<uint8_t> zeros(static_cast<size_t>(groups * out));
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t o = 0; o < out; ++o) {
      uint8_t& zero = zeros[static_cast<size_t>(g * out + o)];
      // A row of words is one stream: a single column.
      unpack_stream_row(words.view.data + g * width * 4, 1, weight.bits, o, &zero);
      // A zero point of 0 was stored as -1, all bits set.
      if (zeros_minus_one) zero = static_cast<uint8_t>((zero + 1) & mask);
    }
  return zeros;
}

}  // namespace

StreamWeight read_stream_weight(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in, int bits,
                                int64_t configured, bool zeros_minus_one) {
  if (in <= 0 || in % 32 != 0 || out <= 0 || out % 8 != 0 || out * bits % 32 != 0)
    fail_input(
        "{}: {}: a {}-bit weight needs inputs in multiples of 32 and outputs in multiples of 8 that fill words of 32 "
        "bits; the model asks for [{}, {}]",
        source.place(names.qweight), names.qweight, bits, out, in);
  StreamWeight weight;
  weight.bits = bits;
  weight.words = load_typed(source, names.qweight, DType::kI32, {in * bits / 32, out});
  weight.group = read_configured_group(source, names.scales, out, in, configured);
  weight.zeros = read_zeros(source, names, out, in, weight, zeros_minus_one);
  return weight;
}

PackedParo4 pack_stream_weight(const WeightSource& source, const Paro4Names& names, int64_t out, int64_t in,
                               const StreamWeight& weight, const std::vector<int32_t>& order, const LoadHelp& help) {
  const int64_t groups = in / weight.group;
  // Four bits of each code and zero point from `shift` on.
  const auto pack = [&](int shift, const std::string& suffix) {
    const auto make_groups = [&] {
      Int4Groups made{to_f16(load_floats(source, names.scales, {groups, out})), {}};
      for (uint16_t& scale : made.scales)
        if (shift > 0) scale = upper_scale(f16_to_f32(scale), source.place(names.scales) + ": " + names.scales);
      std::vector<uint8_t> by_output(weight.zeros.size());  // [out, groups]
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t o = 0; o < out; ++o)
          by_output[static_cast<size_t>(o * groups + g)] =
              static_cast<uint8_t>((weight.zeros[static_cast<size_t>(g * out + o)] >> shift) & 15);
      made.zeros = pack_words(by_output.data(), groups, out);
      source.will_read(names.qweight);
      return made;
    };
    const auto pack_codes = [&](int64_t begin, int64_t end, uint8_t* codes) {
      pack_stream_tiles(weight.words.view.data, in, out, weight.bits, shift, order, begin, end, codes);
    };
    return make_packed_int4(out, in, weight.group,
                            {names.qweight + suffix, names.scales + suffix, make_groups, pack_codes}, help);
  };
  PackedParo4 packed;
  if (weight.bits <= 4) {
    packed.weight = pack(0, "");
  } else {
    packed.weight = pack(4, ".upper");
    packed.low = pack(0, ".lower");
  }
  return packed;
}

std::vector<TensorToWrite> stream_tensors(const std::string& name, const std::shared_ptr<const Paro4Weight>& weight,
                                          int bits) {
  const std::shared_ptr<const Paro4Weight> w = weight;
  PARO_CHECK(w->in % 32 == 0 && w->out * bits % 32 == 0);
  const int64_t groups = w->in / w->group_size;
  std::vector<TensorToWrite> result;
  result.push_back(made_tensor(name + ".qweight", DType::kI32, {w->in * bits / 32, w->out}, [w, bits] {
    std::vector<uint8_t> codes(w->codes.size());  // [in, out]
    for (int64_t k = 0; k < w->in; ++k) {
      const int64_t i = w->order.empty() ? k : w->order[static_cast<size_t>(k)];
      for (int64_t o = 0; o < w->out; ++o)
        codes[static_cast<size_t>(i * w->out + o)] = w->codes[static_cast<size_t>(o * w->in + k)];
    }
    return pack_streams(codes.data(), w->in, w->out, bits);
  }));
  result.push_back(made_tensor(name + ".qzeros", DType::kI32, {groups, w->out * bits / 32}, [w, bits, groups] {
    std::vector<uint32_t> words;
    std::vector<uint8_t> zeros(static_cast<size_t>(w->out));
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t o = 0; o < w->out; ++o)
        zeros[static_cast<size_t>(o)] = w->zeros[static_cast<size_t>(o * groups + g)];
      const std::vector<uint32_t> row = pack_streams(zeros.data(), w->out, 1, bits);
      words.insert(words.end(), row.begin(), row.end());
    }
    return words;
  }));
  result.push_back(scales_tensor(name + ".scales", w));
  if (!w->bias.empty())
    result.push_back(made_tensor(name + ".bias", DType::kF16, {w->out}, [w] { return to_f16(w->bias); }));
  return result;
}

}  // namespace paro
