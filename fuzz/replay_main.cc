// Runs a fuzz target without libFuzzer: every file of the corpus, then mutations of them.
//
// usage: fuzz_<name> <corpus folder> [seed]
//
// The seed is 1 unless given, so that the same commit passes or fails every time; libFuzzer looks further.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int mutations = 20'000;
constexpr std::size_t input_bytes_max = 64 * 1024;

void run(const std::string& input) {
  // A copy of its own, so that ASan sees reads behind the end.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> read_corpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::exists(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);  // the same order on every machine, for the seed's sake
  std::vector<std::string> corpus{std::string()};
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// One small change: of a bit, a byte, a length; a piece lost, doubled or taken from another input.
void mutate(std::string& input, const std::vector<std::string>& corpus, lockstep::Prng& prng) {
  const auto anywhere = [&] { return prng.below(input.size() + 1); };
  const auto byte = [&] {
    return static_cast<char>(prng.chance(1, 3) ? "\0\1\x7f\x80\xff"[prng.below(5)] : prng.next());
  };
  const std::size_t place = anywhere();
  const std::size_t length = prng.below(prng.chance(1, 4) ? 64 : 8);
  switch (prng.below(7)) {
    case 0:
      if (place < input.size()) input[place] = static_cast<char>(input[place] ^ (1 << prng.below(8)));
      break;
    case 1:
      if (place < input.size()) input[place] = byte();
      break;
    case 2:
      input.insert(place, length, byte());
      break;
    case 3:
      input.erase(place, length);
      break;
    case 4:
      input.insert(place, std::string(input, anywhere(), length));
      break;
    case 5:
      input.resize(place);
      break;
    default: {
      const std::string& other = corpus[prng.below(corpus.size())];
      const std::size_t from = prng.below(other.size() + 1);
      input.replace(place, length, other, from, prng.below(other.size() - from + 1));
    }
  }
  if (input.size() > input_bytes_max) input.resize(input_bytes_max);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s <corpus folder> [seed]\n", arguments[0]);
    return 2;
  }
  const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 0) : 1;
  const std::vector<std::string> corpus = read_corpus(arguments[1]);
  std::printf("%zu inputs, %d mutations, seed %llu\n", corpus.size() - 1, mutations,
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (const std::string& input : corpus) run(input);
  lockstep::Prng prng(seed);
  for (int number = 0; number < mutations; ++number) {
    std::string input = corpus[prng.below(corpus.size())];
    const std::uint64_t changes = prng.between(1, 8);
    for (std::uint64_t change = 0; change < changes; ++change) mutate(input, corpus, prng);
    run(input);
  }
  return 0;
}
