// Merges of a sentencepiece BPE vocabulary, which GGUF and sentencepiece leave implied by the scores.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace paro {

/// Every way to put a piece together from two others, the highest score first; ties as transformers' converter breaks
/// them (longer left part, then longer right part first, then the order of the vocabulary), so that the list is the
/// same. `skipped` pieces (control tokens) take no part. Pieces beyond 128 bytes are not put together from others.
std::vector<std::pair<std::string, std::string>> merges_from_scores(const std::vector<std::string>& pieces,
                                                                    const std::vector<double>& scores,
                                                                    const std::vector<bool>& skipped);

}  // namespace paro
