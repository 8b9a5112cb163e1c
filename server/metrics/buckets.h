// SPDX-License-Identifier: Apache-2.0
// Bucket bounds of the histograms.
#pragma once

#include <vector>

namespace spanlm {

using Buckets = std::vector<double>;

// Times of calls, seconds.
inline Buckets CallTimeBuckets() {
  return {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
          0.5,    1,     2,     5,     10,   30,   60,   300, 1800};
}

// Times of steps, seconds.
inline Buckets FineTimeBuckets() {
  return {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
          0.02,   0.05,   0.1,    0.2,   0.5,   1,     5};
}

// `first` and its multiples by `factor` up to `last`.
inline Buckets GeometricBuckets(double first, double factor, double last) {
  Buckets buckets;
  for (double bound = first; bound <= last; bound *= factor) {
    buckets.push_back(bound);
  }
  return buckets;
}

}  // namespace spanlm
