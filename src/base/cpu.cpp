#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <cstdlib>

#include "base/error.h"

namespace paro {
namespace {

#if defined(__x86_64__)
/// Older clang's __builtin_cpu_supports does not know "f16c".
bool has_f16c() {
  unsigned int a = 0;
  unsigned int b = 0;
  unsigned int c = 0;
  unsigned int d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

/// Nor "avxvnni".
bool has_avx_vnni() {
  unsigned int a = 0;
  unsigned int b = 0;
  unsigned int c = 0;
  unsigned int d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}
#endif

std::vector<Isa> detect() {
  std::vector<Isa> isas{Isa::kReference};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    isas.push_back(Isa::kAvx2);
    if (has_avx_vnni()) isas.push_back(Isa::kAvxVnni);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::kAvx512);
      if (__builtin_cpu_supports("avx512vnni")) isas.push_back(Isa::kAvx512Vnni);
    }
  }
#elif defined(__aarch64__) && defined(__linux__)
  // Compiled for Armv8.2-A: atomic instructions, too.
  constexpr unsigned long kWanted = HWCAP_ASIMDDP | HWCAP_ATOMICS;
  if ((getauxval(AT_HWCAP) & kWanted) == kWanted) {
    isas.push_back(Isa::kNeon);
    if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) isas.push_back(Isa::kNeonI8mm);
  }
#endif
  return isas;
}

Isa choose() {
  const char* wanted = std::getenv("PARO_ISA");
  if (wanted == nullptr || *wanted == '\0') return supported_isas().back();
  for (Isa isa :
       {Isa::kReference, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kNeon, Isa::kNeonI8mm}) {
    if (isa_name(isa) != wanted) continue;
    for (Isa supported : supported_isas())
      if (supported == isa) return isa;
    fail_limit("PARO_ISA={}: this processor lacks it; the best it has is {}", wanted,
               isa_name(supported_isas().back()));
  }
  fail_usage("PARO_ISA={}: expected reference, avx2, avxvnni, avx512, avx512vnni, neon or neoni8mm", wanted);
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kReference: return "reference";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvxVnni: return "avxvnni";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Vnni: return "avx512vnni";
    case Isa::kNeon: return "neon";
    case Isa::kNeonI8mm: return "neoni8mm";
  }
  PARO_CHECK(false);
  return "";
}

const std::vector<Isa>& supported_isas() {
  static const std::vector<Isa> isas = detect();
  return isas;
}

Isa active_isa() {
  static const Isa isa = choose();
  return isa;
}

}  // namespace paro
