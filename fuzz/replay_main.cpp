// Runs a fuzz target without libFuzzer: on the files given, or on random changes of random bytes.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    std::mt19937 random(1);
    for (int run = 0; run < 1000 && !bytes.empty(); ++run) {
      std::vector<char> changed = bytes;
      for (int n = 0; n < 8; ++n) changed[random() % changed.size()] = static_cast<char>(random());
      if (run % 4 == 0) changed.resize(random() % changed.size());
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(changed.data()), changed.size());
    }
  }
  if (count > 1) return 0;
  std::mt19937 random(1);
  for (int run = 0; run < 10000; ++run) {
    std::vector<uint8_t> bytes(random() % 512);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::puts("no files given: 10000 random inputs, clean");
  return 0;
}
