// Bit packing of AutoGPTQ's layout, and of the ParoQuant format for 2 and 3 bits: codes of 2, 3, 4 or 8 bits as a
// stream of bits, lowest first, through words of 32. No files, no checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paro {

/// Each column of words [codes * bits / 32, columns] is one stream: the codes of row `row` (a number of the codes) in
/// all columns. words little-endian, not necessarily aligned; codes * bits a multiple of 32.
void unpack_stream_row(const std::byte* words, int64_t columns, int bits, int64_t row, uint8_t* codes);
/// codes [rows, columns] -> words [rows * bits / 32, columns].
std::vector<uint32_t> pack_streams(const uint8_t* codes, int64_t rows, int64_t columns, int bits);

/// Inputs [begin, end), in multiples of 8, of words [in * bits / 32, out] into the tiles of PackedInt4
/// (kernels/int4/int4.h): codes [tiles][in/8][16][4]. Input i there is input order[i] here (empty: i). What is packed
/// of a code are its four bits from `shift` on (0, or 4 for the upper half of 8 bits).
void pack_stream_tiles(const std::byte* words, int64_t in, int64_t out, int bits, int shift,
                       const std::vector<int32_t>& order, int64_t begin, int64_t end, uint8_t* codes);

}  // namespace paro
