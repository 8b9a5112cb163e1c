// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cpu_target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cpu/cpu_target.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::kernels::HWY_NAMESPACE {

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace spanlm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm::kernels {

HWY_EXPORT(TargetName);

const char* CpuTargetName() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace spanlm::kernels
#endif
