"""LitePose's search: a super-net is trained, its best part under a budget found by evolution (Wang et al., 2022)."""
