// SPDX-License-Identifier: Apache-2.0
// Which instructions the CPU kernels run on.
#pragma once

namespace spanlm::kernels {

// Raised whenever a change alters a bit of any kernel's result.
inline constexpr int kKernelVersion = 1;

// Highway's name of the instruction set chosen at run time ("AVX3", "AVX2", …):
// bits may differ between two of them. A static string.
const char* CpuTargetName();

}  // namespace spanlm::kernels
