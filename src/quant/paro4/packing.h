// Bit packing of the public ParoQuant layout (and the older one): words to codes and back. No files, no checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paro {

/// Column inside its word of 8 that nibble p holds.
constexpr int kNibbleColumn[8] = {0, 2, 4, 6, 1, 3, 5, 7};

/// words: little-endian I32 [rows, columns/8], not necessarily aligned -> values [columns, rows] (transposed), 0..15.
void unpack_words(const std::byte* words, int64_t rows, int64_t columns, uint8_t* values);
/// values [columns, rows] -> words [rows, columns/8]; columns a multiple of 8.
std::vector<uint32_t> pack_words(const uint8_t* values, int64_t rows, int64_t columns);

/// The same words [in, columns/8] straight into the tiles of PackedInt4 (kernels/int4/int4.h), for inputs [begin, end)
/// in multiples of 8: codes [tiles][in/8][16][4], zeroed where the last tile has fewer outputs.
void pack_tiles(const std::byte* words, int64_t in, int64_t columns, int64_t begin, int64_t end, uint8_t* codes);

/// Older layout: I16 [columns/4, rows], nibble p of word (w, r) is column 4w + p -> values [columns, rows].
void unpack_older_words(const std::byte* words, int64_t rows, int64_t columns, uint8_t* values);

}  // namespace paro
