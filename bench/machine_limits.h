// SPDX-License-Identifier: Apache-2.0
// What the machine itself can do, measured in the same run as what is judged.
#pragma once

#include <cstdint>

#include "engine/step/worker_team.h"

namespace spanlm {

// Bytes a second that `team` reads of `floats`, again and again for about
// `seconds`: memory's or a cache's speed, as `size` decides.
double ReadBandwidth(const float* floats, int64_t size, double seconds,
                     WorkerTeam* team);

// Float multiplications and additions a second in registers, all of `team`.
double PeakFlops(double seconds, WorkerTeam* team);

}  // namespace spanlm
