#include "cli/bench_shape.h"

#include <utility>

#include "base/progress.h"
#include "model/random_model.h"

namespace paro::cli {

std::string shape_list() {
  std::string list;
  for (const std::string& name : random_shape_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::unique_ptr<Engine> random_engine(const std::string& shape, const std::string& format,
                                      const EngineOptions& options) {
  Checkpoint checkpoint;
  checkpoint.name = shape;
  checkpoint.config = random_shape_config(shape, format == "dense" ? RandomFormat::kDense : RandomFormat::kParo4);
  const ModelConfig config = parse_model_config(checkpoint.config, "shape " + shape);
  const std::shared_ptr<const WeightSource> weights = make_random_weights(config);
  Progress progress("making weights", config.layers + 1);
  int64_t shown = 0;
  auto model = Model::load(config, *weights, *make_cpu_weight_factory(config.quantization),
                           [&](int64_t done, int64_t) { progress.advance(done - std::exchange(shown, done)); });
  auto engine = std::make_unique<Engine>(std::move(checkpoint), std::move(model), make_cpu_ops(options.cpu), nullptr,
                                         nullptr, options.kv_bits);
  engine->prepare_head(options);
  return engine;
}

}  // namespace paro::cli
