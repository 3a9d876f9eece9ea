// A model's linears by name and size, without their weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model.h"

namespace paro::calib {

/// Names and sizes without weights: enough to ask layers for their structure.
class OutlineFactory : public WeightFactory {
 public:
  std::unique_ptr<Linear> linear(const WeightSource&, const std::string& name, int64_t out, int64_t in, bool) override {
    auto made = std::make_unique<Linear>();
    made->name = name;
    made->out = out;
    made->in = in;
    return made;
  }
  std::unique_ptr<Embedding> embedding(const WeightSource&, const std::string&, int64_t, int64_t) override {
    return std::make_unique<Embedding>();
  }
  std::unique_ptr<Vector> vector(const WeightSource&, const std::string&, int64_t) override {
    return std::make_unique<Vector>();
  }
};

struct LinearOutline {
  std::string name;
  int64_t layer = 0;
  int set = 0;  // LinearSlot::set
  int64_t out = 0;
  int64_t in = 0;

  int64_t weights() const { return out * in; }
};

/// All linears inside layers, in the order of execution.
std::vector<LinearOutline> outline_linears(const ModelConfig& config, const WeightSource& source);

}  // namespace paro::calib
