// SPDX-License-Identifier: Apache-2.0
// Runs a test's body on every instruction set that this machine has.
#pragma once

#include "engine/kernels/cpu_target.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"

namespace spanlm::kernels {

template <typename Body>
void OnEachTarget(const Body& body) {
  // Everything the library was built for that may run here; plain x86-64 is
  // what remains when all others are switched off.
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SSE4, HWY_SCALAR}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(CpuTargetName());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace spanlm::kernels
