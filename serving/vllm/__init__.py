"""The engine vllm: deployments of Ray Serve LLM, whose replicas run vLLM, behind Weir's gateway (docs/vllm.md).

Only `vllm_server` and `vllm_request` import vLLM, and `deployment` imports them when it builds a deployment; a gateway never does.
"""
