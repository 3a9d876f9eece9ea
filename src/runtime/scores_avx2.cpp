#include "runtime/scores_loops.h"

namespace paro::scores {

const Variant kAvx2 = {row_sum_loop, weighted_difference_loop};

}  // namespace paro::scores
