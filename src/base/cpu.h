// The processor: which instruction sets may be used, decided once at start.
#pragma once

#include <string_view>
#include <vector>

namespace paro {

/// Instruction sets that kernels are written for, in rising order of preference.
/// kAvx2: AVX2, FMA and F16C. kAvxVnni: those and AVX_VNNI. kAvx512: kAvx2 and F, BW, DQ and VL. kAvx512Vnni: those and
/// AVX512_VNNI. kNeon: Armv8.2-A with the dot product extension (ASIMDDP). kNeonI8mm: that and the int8 matrix products
/// (I8MM). Each includes those before it of the same architecture, but kAvx512 and kAvx512Vnni not kAvxVnni.
enum class Isa { kReference, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kNeon, kNeonI8mm };

/// "reference", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neoni8mm"
std::string_view isa_name(Isa isa);
/// What this processor (and operating system) can run, kReference first, best last.
const std::vector<Isa>& supported_isas();
/// The set in use: the best supported one, or what PARO_ISA names. Throws Error{kUsage} when PARO_ISA names an
/// unknown set, Error{kLimit} when the processor lacks it.
Isa active_isa();

}  // namespace paro
