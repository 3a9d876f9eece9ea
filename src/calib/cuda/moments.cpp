#include "calib/cuda/moments.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "backends/cuda/products.h"
#include "base/error.h"
#include "calib/cuda/kernels.h"

namespace paro::calib {
namespace {

// Rows of a moment that one product makes: of H only what lies right of the diagonal block is computed.
constexpr int64_t kPanel = 2048;
constexpr int kAttempts = 6;

void check(const char* what) { cuda_check(cudaGetLastError(), what); }

void require_finite(const CudaContext& context, const DeviceArray<double>& sums, const std::string& where) {
  DeviceArray<unsigned long long> bad(context, 1);
  bad.zero();
  launch_count_nonfinite(context.stream(), sums.data(), sums.size(), bad.data());
  unsigned long long count = 0;
  bad.to_host(&count);
  if (count > 0) fail_input("{}: the activations are not finite (the model overflows on this text)", where);
}

/// A cuSOLVER call of the 64-bit interface: sizes, work, result flag. True when the flag is 0.
class Factorisation {
 public:
  explicit Factorisation(const CudaContext& context) : context_(context), info_(context, 1) {
    cusolver_check(cusolverDnCreateParams(&parameters_), "making parameters");
  }
  ~Factorisation() { cusolverDnDestroyParams(parameters_); }
  Factorisation(const Factorisation&) = delete;
  Factorisation& operator=(const Factorisation&) = delete;

  /// The lower factor (column-major) of a symmetric a [n, n], in its place; false when a is not positive definite.
  bool cholesky(double* a, int64_t n) {
    size_t device_bytes = 0;
    size_t host_bytes = 0;
    cusolver_check(cusolverDnXpotrf_bufferSize(context_.solver(), parameters_, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, a,
                                               n, CUDA_R_64F, &device_bytes, &host_bytes),
                   "sizing a Cholesky factorisation");
    reserve(device_bytes, host_bytes);
    cusolver_check(cusolverDnXpotrf(context_.solver(), parameters_, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, a, n,
                                    CUDA_R_64F, device_.data(), device_bytes, host_.data(), host_bytes, info_.data()),
                   "a Cholesky factorisation");
    return succeeded();
  }
  /// b [rows, n] becomes the X with X A = B, `factor` of cholesky().
  void solve(const double* factor, int64_t n, double* b, int64_t rows) {
    // Row-major b is B^T in columns: A X^T = B^T.
    cusolver_check(cusolverDnXpotrs(context_.solver(), parameters_, CUBLAS_FILL_MODE_LOWER, n, rows, CUDA_R_64F, factor,
                                    n, CUDA_R_64F, b, n, info_.data()),
                   "solving with a Cholesky factor");
    PARO_CHECK(succeeded());
  }
  /// The inverse of an upper triangular a (column-major), in its place.
  void invert_upper(double* a, int64_t n) {
    size_t device_bytes = 0;
    size_t host_bytes = 0;
    cusolver_check(cusolverDnXtrtri_bufferSize(context_.solver(), CUBLAS_FILL_MODE_UPPER, CUBLAS_DIAG_NON_UNIT, n,
                                               CUDA_R_64F, a, n, &device_bytes, &host_bytes),
                   "sizing the inverse of a triangle");
    reserve(device_bytes, host_bytes);
    cusolver_check(cusolverDnXtrtri(context_.solver(), CUBLAS_FILL_MODE_UPPER, CUBLAS_DIAG_NON_UNIT, n, CUDA_R_64F, a,
                                    n, device_.data(), device_bytes, host_.data(), host_bytes, info_.data()),
                   "the inverse of a triangle");
    PARO_CHECK(succeeded());
  }

 private:
  void reserve(size_t device_bytes, size_t host_bytes) {
    if (device_.size() < static_cast<int64_t>(device_bytes))
      device_ = DeviceArray<std::byte>(context_, static_cast<int64_t>(device_bytes));
    host_.resize(std::max(host_.size(), host_bytes));
  }
  bool succeeded() const {
    int info = 0;
    info_.to_host(&info);
    PARO_CHECK(info >= 0);
    return info == 0;
  }
  const CudaContext& context_;
  cusolverDnParams_t parameters_ = nullptr;
  DeviceArray<int> info_;
  DeviceArray<std::byte> device_;
  std::vector<std::byte> host_;
};

[[noreturn]] void fail_indefinite() {
  fail_input("the second moments of the activations are not positive definite even with strong damping");
}

}  // namespace

void CudaSums::combine(const std::function<void(std::span<double>)>& add_up) {
  for (DeviceArray<double>* sums : {&gram_, &cross_}) {
    std::vector<double> host(static_cast<size_t>(sums->size()));
    if (!host.empty()) sums->to_host(host.data());
    add_up(host);
    if (!host.empty()) sums->from_host(host.data());
  }
  auto rows = static_cast<double>(rows_);
  add_up({&rows, 1});
  rows_ = static_cast<int64_t>(rows);
}

CudaSums::CudaSums(const CudaContext& device, int64_t width, int64_t cross, CudaProducts kind)
    : context_(device), products_(kind), gram_(device, width * width) {
  in = width;
  cross_rows = cross;
  gram_.zero();
  if (cross > 0) {
    cross_ = DeviceArray<double>(device, cross * width);
    cross_.zero();
  }
}

void CudaSums::add(const float* x, const float* y, int64_t rows) {
  add_product(x, in, x, rows, true, gram_.data());
  if (cross_rows > 0) add_product(y, cross_rows, x, rows, false, cross_.data());
  rows_ += rows;
}

void CudaSums::add_product(const float* y, int64_t m, const float* x, int64_t rows, bool upper, double* total) {
  DeviceArray<uint16_t> y3, x3;
  if (products_ == CudaProducts::kSplit3) {
    y3 = DeviceArray<uint16_t>(context_, 3 * rows * m);
    cuda_split_rows(context_, y, rows, m, SplitOrder::kFirst, y3.data());
    x3 = DeviceArray<uint16_t>(context_, 3 * rows * in);
    cuda_split_rows(context_, x, rows, in, SplitOrder::kSecond, x3.data());
  }
  const DeviceArray<float> part(context_, std::min(kPanel, m) * in);
  for (int64_t i = 0; i < m; i += kPanel) {
    const int64_t height = std::min(kPanel, m - i);
    const int64_t first = upper ? i : 0;
    const int64_t width = in - first;
    if (products_ == CudaProducts::kSplit3)
      cuda_gemm_split_tn(context_, height, width, rows, y3.data() + i, m, x3.data() + first, in, part.data(), width);
    else
      cuda_gemm(context_, true, false, height, width, rows, 1.0f, y + i, m, x + first, in, 0.0f, part.data(), width);
    launch_add_to_total(context_.stream(), total + i * in + first, in, part.data(), width, height, width);
  }
  check("adding moments");
}

std::unique_ptr<CudaMoment> CudaSums::second_moment(const std::string& where) const {
  PARO_CHECK(rows_ > 0);
  require_finite(context_, gram_, where);
  auto moment = std::make_unique<CudaMoment>();
  moment->n = in;
  moment->h = DeviceArray<double>(context_, in * in);
  launch_symmetric(context_.stream(), gram_.data(), 1.0 / static_cast<double>(rows_), in, moment->h.data());
  const DeviceArray<double> diagonal(context_, in);
  launch_copy_diagonal(context_.stream(), moment->h.data(), in, diagonal.data());
  check("a second moment");
  moment->diagonal.resize(static_cast<size_t>(in));
  diagonal.to_host(moment->diagonal.data());
  return moment;
}

DeviceArray<double> CudaSums::cross_moment(const std::string& where) const {
  PARO_CHECK(rows_ > 0 && cross_rows > 0);
  require_finite(context_, cross_, where);
  DeviceArray<double> mean(context_, cross_.size());
  launch_scale(context_.stream(), cross_.data(), 1.0 / static_cast<double>(rows_), cross_.size(), mean.data());
  check("a cross moment");
  return mean;
}

double mean_diagonal(const CudaContext& context, const CudaMoment& h) {
  const DeviceArray<double> diagonal(context, h.n);
  launch_copy_diagonal(context.stream(), h.h.data(), h.n, diagonal.data());
  std::vector<double> values(static_cast<size_t>(h.n));
  diagonal.to_host(values.data());
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(h.n);
}

void correct_on_device(const CudaContext& context, std::span<WeightMatrix* const> weights, CrossMoment cross,
                       const DeviceArray<double>& wanted, const CudaMoment& h, double damping) {
  const double mean = mean_diagonal(context, h);
  if (!(mean > 0.0)) return;
  const int64_t n = h.n;
  Factorisation factorisation(context);
  DeviceArray<double> factor(context, n * n);
  bool positive = false;
  for (int attempt = 0; attempt < kAttempts && !positive; ++attempt, damping *= 10.0) {
    launch_damp(context.stream(), h.h.data(), -1.0, damping * mean, n, factor.data());
    positive = factorisation.cholesky(factor.data(), n);
  }
  if (!positive) fail_indefinite();

  DeviceArray<double> difference;  // C - H
  if (cross == CrossMoment::kInputs) {
    PARO_CHECK(wanted.size() == n * n);
    difference = DeviceArray<double>(context, n * n);
    launch_difference(context.stream(), wanted.data(), h.h.data(), n * n, difference.data());
  }
  for (WeightMatrix* weight : weights) {
    auto& w = static_cast<CudaMatrix&>(*weight).values;
    const int64_t out = weight->out;
    DeviceArray<double> wide(context, out * n);
    launch_widen(context.stream(), w.data(), out * n, wide.data());
    DeviceArray<double> excess(context, out * n);
    if (cross == CrossMoment::kInputs) {
      cuda_gemm(context, false, false, out, n, n, 1.0, wide.data(), n, difference.data(), n, 0.0, excess.data(), n);
    } else {
      PARO_CHECK(wanted.size() == out * n);
      excess.from_device(wanted.data());
      cuda_gemm(context, false, false, out, n, n, -1.0, wide.data(), n, h.h.data(), n, 1.0, excess.data(), n);
    }
    factorisation.solve(factor.data(), n, excess.data(), out);
    launch_add_excess(context.stream(), w.data(), excess.data(), out * n);
  }
  check("the target correction");
}

DeviceArray<float> inverse_factor_on_device(const CudaContext& context, const CudaMoment& h, double damping) {
  const double mean = mean_diagonal(context, h);
  const int64_t n = h.n;
  Factorisation factorisation(context);
  DeviceArray<double> a(context, n * n);
  for (int attempt = 0; attempt < kAttempts; ++attempt, damping *= 10.0) {
    launch_damp(context.stream(), h.h.data(), mean, mean > 0.0 ? damping * mean : 1.0, n, a.data());
    // As inverse_cholesky_upper (numeric/blas.cpp): the lower factor of the matrix turned by 180 degrees, turned back,
    // is the upper V with A = V V^T, and U = V^-1. What lies below V's diagonal is left over and ignored.
    launch_reverse(context.stream(), a.data(), n * n);
    if (!factorisation.cholesky(a.data(), n)) continue;
    launch_reverse(context.stream(), a.data(), n * n);
    factorisation.invert_upper(a.data(), n);
    DeviceArray<float> u(context, n * n);
    // Column-major U is row-major U^T.
    launch_transposed_f32(context.stream(), a.data(), n, true, u.data());
    check("the inverse's factor");
    return u;
  }
  fail_indefinite();
}

DeviceArray<float> narrowed(const CudaContext& context, const CudaMoment& h) {
  DeviceArray<float> result(context, h.n * h.n);
  launch_narrow(context.stream(), h.h.data(), h.n * h.n, result.data());
  check("narrowing a moment");
  return result;
}

double quadratic_loss_on_device(const CudaContext& context, const float* e, int64_t rows, const DeviceArray<float>& h,
                                int64_t n) {
  const DeviceArray<float> product(context, rows * n);
  cuda_gemm(context, false, false, rows, n, n, 1.0f, e, n, h.data(), n, 0.0f, product.data(), n);
  const DeviceArray<double> sums(context, kDotParts + 1);
  launch_dot(context.stream(), e, product.data(), rows * n, sums.data(), sums.data() + kDotParts);
  check("a quadratic loss");
  double values[kDotParts + 1];
  sums.to_host(values);
  return values[kDotParts];
}

}  // namespace paro::calib
