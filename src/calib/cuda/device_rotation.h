// Vectors and rotations of the host on a CUDA device.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cuda/context.h"
#include "quant/paro4/format.h"

namespace paro::calib {

template <typename T>
DeviceArray<T> upload(const CudaContext& context, const std::vector<T>& values) {
  DeviceArray<T> result(context, std::ssize(values));
  result.from_host(values.data());
  return result;
}

/// A rotation's tables on the device, angles as T.
template <typename T>
struct DeviceRotation {
  DeviceRotation(const CudaContext& context, const PairRotation& rotation) : pairs(upload(context, rotation.pairs)) {
    std::vector<T> c, s;
    for (const float theta : rotation.theta) {
      c.push_back(static_cast<T>(std::cos(static_cast<double>(theta))));
      s.push_back(static_cast<T>(std::sin(static_cast<double>(theta))));
    }
    cosine = upload(context, c);
    sine = upload(context, s);
    const std::vector<float>& factors = rotation.channel_scales;
    if (std::any_of(factors.begin(), factors.end(), [](float f) { return f != 1.0f; }))
      channel_scales = upload(context, factors);
  }
  DeviceArray<int16_t> pairs;
  DeviceArray<T> cosine, sine;
  DeviceArray<float> channel_scales;  // empty: all 1
};

}  // namespace paro::calib
