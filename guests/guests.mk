# SPDX-License-Identifier: Apache-2.0
# Payload guests: see guests/README.md.
GUEST_BINS :=
