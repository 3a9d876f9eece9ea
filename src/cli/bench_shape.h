// An engine with random weights in a known shape, for `paro bench --shape`.
#pragma once

#include <memory>
#include <string>

#include "runtime/engine.h"

namespace paro::cli {

/// The names, with commas between.
std::string shape_list();
/// `format`: "paro4" or "dense". Throws Error{kUsage} for an unknown shape.
std::unique_ptr<Engine> random_engine(const std::string& shape, const std::string& format,
                                      const EngineOptions& options);

}  // namespace paro::cli
