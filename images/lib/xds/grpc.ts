import type { MethodDefinition } from '@grpc/grpc-js'
import {
  DeltaDiscoveryRequest,
  type DeltaDiscoveryRequestInit,
  DeltaDiscoveryResponse,
  type DeltaDiscoveryResponseInit,
  IstioCertificateRequest,
  type IstioCertificateRequestInit,
  IstioCertificateResponse,
  type IstioCertificateResponseInit,
} from './messages.ts'

/** For clients and servers: messages up to 200 MiB, as Istio's own allow. */
export const channelOptions = {
  'grpc.max_receive_message_length': 200 * 1024 * 1024,
  'grpc.max_send_message_length': 200 * 1024 * 1024,
} as const

/** What is written may leave fields out; what is read has them all. */
type Method<Request, RequestInit, Response, ResponseInit> = Omit<
  MethodDefinition<Request, Response>,
  'requestSerialize' | 'responseSerialize'
> & {
  requestSerialize(value: RequestInit): Buffer
  responseSerialize(value: ResponseInit): Buffer
}

/** `envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources`: a stream each way. */
export const deltaAggregatedResources: Method<
  DeltaDiscoveryRequest,
  DeltaDiscoveryRequestInit,
  DeltaDiscoveryResponse,
  DeltaDiscoveryResponseInit
> = {
  path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  requestStream: true,
  responseStream: true,
  requestSerialize: DeltaDiscoveryRequest.encode,
  requestDeserialize: DeltaDiscoveryRequest.decode,
  responseSerialize: DeltaDiscoveryResponse.encode,
  responseDeserialize: DeltaDiscoveryResponse.decode,
}

/** `istio.v1.auth.IstioCertificateService/CreateCertificate`: one request, one answer. */
export const createCertificate: Method<
  IstioCertificateRequest,
  IstioCertificateRequestInit,
  IstioCertificateResponse,
  IstioCertificateResponseInit
> = {
  path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
  requestStream: false,
  responseStream: false,
  requestSerialize: IstioCertificateRequest.encode,
  requestDeserialize: IstioCertificateRequest.decode,
  responseSerialize: IstioCertificateResponse.encode,
  responseDeserialize: IstioCertificateResponse.decode,
}
